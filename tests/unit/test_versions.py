"""The diff of two images, the version bump that follows, and the content id."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests import catalogs

from notebake.bake import inputs
from notebake.errors import RecordError
from notebake.plan.plan import Plan
from notebake.provision import files
from notebake.record import diff, semver


def _set(kind: str, name: str, value: str | None) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        if value is None:
            del data[kind][name]
        else:
            data[kind][name] = value

    return change


def _port(data: dict[str, Any]) -> None:
    data["ports"] = data["ports"][1:]


def _another_port(data: dict[str, Any]) -> None:
    data["ports"] = [*data["ports"], "tcp :: 80"]


@pytest.mark.parametrize(
    ("change", "level"),
    [
        (lambda data: None, "patch"),
        (_set("python_packages", "numpy", "2.99.0"), "minor"),
        (_set("python_packages", "newcomer", "1.0"), "minor"),
        (_set("python_packages", "numpy", None), "patch"),
        (_set("os_packages", "bash", "5.2.37-2+b9"), "patch"),
        (_set("os_packages", "bash", "5.3-1"), "minor"),
        (_set("os_packages", "dhcpcd-base", "1:10.1.9-11+deb13u5"), "patch"),
        (_set("os_packages", "dhcpcd-base", "1:10.2.0-11"), "minor"),  # the epoch does not count
        (_set("units", "ssh.service", None), "major"),
        (_set("units", "new.service", "enabled"), "patch"),
        (_set("system", "version", "14"), "major"),
        (lambda data: data.update(python="3.14.0"), "major"),
        (lambda data: data.update(python="3.13.9"), "patch"),
        (_port, "major"),
        (_another_port, "patch"),
        (_set("users", "mallory", "0 /bin/sh"), "patch"),
    ],
)
def test_the_version_bump_follows_from_the_changes(
    change: Callable[[dict[str, Any]], None], level: semver.Level
) -> None:
    old = catalogs.real()
    assert diff.difference(old, catalogs.changed(old, change)).level == level


def test_another_notebook_port_is_a_major_change() -> None:
    old = catalogs.real()
    machine = old.machine.model_copy(update={"port": 8888})
    difference = diff.difference(old, old.model_copy(update={"machine": machine}))
    assert difference.level == "major" and difference.categories["ports"].changed == {
        "notebook": ("9999", "8888")
    }


@pytest.mark.parametrize(("level", "expected"), [("major", "2.0.0"), ("minor", "1.5.0"), ("patch", "1.4.8")])
def test_the_next_version(level: semver.Level, expected: str) -> None:
    assert semver.following("1.4.7", level) == expected


@pytest.mark.parametrize("version", ["1.2", "v1.2.3", "1.2.3.4", "01.2.3", ""])
def test_an_invalid_version_is_refused(version: str) -> None:
    with pytest.raises(RecordError, match="not a version"):
        semver.number(version)


def test_a_diff_as_text_markdown_and_json() -> None:
    old = catalogs.real()
    new = catalogs.changed(old, _set("setuid", "/usr/bin/e|vil", "4755 root:root"))
    difference = diff.difference(old, new, names=("1.0.0", "new"))
    assert "+ /usr/bin/e|vil 4755 root:root" in diff.text(difference)
    assert r"| /usr/bin/e\|vil |  | 4755 root:root |" in diff.markdown(difference)
    assert json.loads(json.dumps(difference.to_dict()))["setuid"]["added"] == {
        "/usr/bin/e|vil": "4755 root:root"
    }
    assert "the same software" in diff.text(diff.difference(old, old))


def image_inputs(of_plan: Plan) -> dict[str, str]:
    return inputs.inputs(of_plan, files.build(of_plan))


def test_the_content_id_depends_on_all_inputs(
    make_plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, again = image_inputs(make_plan()), image_inputs(make_plan())
    assert inputs.identify(one) == inputs.identify(again) and inputs.changes(one, again) == []
    other = image_inputs(make_plan('[notebook]\nprofile = "other"\n'))
    assert inputs.identify(other) != inputs.identify(one)
    assert "guest/config.json" in {change.name for change in inputs.changes(one, other)}
    monkeypatch.setattr(inputs, "tool_versions", lambda plan: {"mke2fs": "1.0", "qemu-img": "2.0"})
    newer = image_inputs(make_plan())
    assert [change.name for change in inputs.changes(one, newer)] == ["tool/qemu-img"]


def test_every_file_for_packer_is_an_input(make_plan: Callable[..., Plan]) -> None:
    names = image_inputs(make_plan())
    assert {"packer/scripts/report.py", "packer/linux.pkr.hcl", "guest/requirements.txt", "base"} <= set(
        names
    )
    assert "packer/guest.tar.gz" not in names
