"""Targets are data: a new release is one folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.certificates import NOW

from notebake import paths
from notebake.errors import SpecError
from notebake.plan import plan, targets
from notebake.plan.plan import Plan
from notebake.render import output


def test_all_targets_are_listed() -> None:
    assert [target.name for target in targets.all_targets()] == [
        "debian-13", "opensuse-leap-16.0", "opensuse-tumbleweed", "ubuntu-24.04", "ubuntu-26.04",
        "windows-2022", "windows-2025",
    ]  # fmt: skip


def test_a_new_target_is_one_folder(tmp_path: Path, make_plan: Callable[..., Plan]) -> None:
    images = tmp_path / "images"
    shutil.copytree(paths.data_folder("images") / "ubuntu-24.04", images / "ubuntu-99.10")
    toml = images / "ubuntu-99.10/target.toml"
    toml.write_text(toml.read_text().replace("24.04", "99.10"))
    added = targets.get("ubuntu-99.10", images)
    rendered = output.render(plan.make(make_plan().spec, added, tmp_path, now=NOW)).files
    variables = next(file.data for file in rendered if file.path == "packer/variables.pkrvars.json")
    assert json.loads(variables)["target"] == "ubuntu-99.10"
    assert b"ubuntu-99.10" in next(file.data for file in rendered if file.path == "user-data.yaml")


def test_unknown_targets_are_refused_with_a_hint() -> None:
    with pytest.raises(SpecError, match="no such target") as caught:
        targets.get("debian-14")
    assert "debian-13" in str(caught.value.hint)
    with pytest.raises(SpecError, match="no such target"):
        targets.get("../images/debian-13")


@pytest.mark.parametrize(
    ("line", "names"),
    [("firewall = 'none'", "firewall"), ("colour = 'red'", "colour"), ("family = 'pacman'", "family")],
)
def test_a_broken_target_is_reported(tmp_path: Path, line: str, names: str) -> None:
    (tmp_path / "x").mkdir()
    text = (paths.data_folder("images") / "ubuntu-24.04/target.toml").read_text()
    key = line.split(" ")[0]
    kept = "\n".join(row for row in text.splitlines() if not row.startswith(f"{key} "))
    (tmp_path / "x/target.toml").write_text(f"{line}\n{kept}\n")
    with pytest.raises(SpecError, match=names):
        targets.get("x", tmp_path)


def test_a_comment_of_a_built_in_grub_configuration_has_no_quote() -> None:
    """GRUB's rescue parser finds quotes in comments too: an odd one takes the commands below it with it."""
    configurations = sorted(paths.data_folder("images").glob("*/base/grub-early.cfg"))
    assert configurations
    for path in configurations:
        comments = [line for line in path.read_text("utf-8").splitlines() if line.startswith("#")]
        assert not [line for line in comments if "'" in line or '"' in line], path
