"""What differs between two images, and the version that follows; the content id by its parts."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests import images

from notebake import content, versions
from notebake.errors import RecordError
from notebake.plan import Plan


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
        (_set("os_packages", "dhcpcd-base", "1:10.2.0-11"), "minor"),  # the epoch is not upstream's
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
def test_the_level_follows_from_what_changed(
    change: Callable[[dict[str, Any]], None], level: versions.Level
) -> None:
    old = images.real()
    assert versions.difference(old, images.changed(old, change)).level == level


def test_the_notebooks_own_port_counts() -> None:
    old = images.real()
    machine = old.machine.model_copy(update={"port": 8888})
    found = versions.difference(old, old.model_copy(update={"machine": machine}))
    assert found.level == "major" and found.kinds["ports"].changed == {"notebook": ("9999", "8888")}


@pytest.mark.parametrize(("level", "expected"), [("major", "2.0.0"), ("minor", "1.5.0"), ("patch", "1.4.8")])
def test_what_follows(level: versions.Level, expected: str) -> None:
    assert versions.following("1.4.7", level) == expected


@pytest.mark.parametrize("version", ["1.2", "v1.2.3", "1.2.3.4", "01.2.3", ""])
def test_not_a_version(version: str) -> None:
    with pytest.raises(RecordError, match="not a version"):
        versions.number(version)


def test_three_ways_to_read_it() -> None:
    old = images.real()
    new = images.changed(old, _set("setuid", "/usr/bin/e|vil", "4755 root:root"))
    found = versions.difference(old, new, names=("1.0.0", "new"))
    assert "+ /usr/bin/e|vil 4755 root:root" in versions.text(found)
    assert r"| /usr/bin/e\|vil |  | 4755 root:root |" in versions.markdown(found)
    assert json.loads(json.dumps(found.to_dict()))["setuid"]["added"] == {"/usr/bin/e|vil": "4755 root:root"}
    assert "the same software" in versions.text(versions.difference(old, old))


def test_the_content_id_is_the_same_for_the_same_and_names_what_changed(
    make_plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, again = content.inputs(make_plan()), content.inputs(make_plan())
    assert content.identify(one) == content.identify(again) and content.changes(one, again) == []
    other = content.inputs(make_plan('[notebook]\nprofile = "other"\n'))
    assert content.identify(other) != content.identify(one)
    assert "guest/config.json" in {item.name for item in content.changes(one, other)}
    monkeypatch.setattr(content, "_tool", lambda name, flag: "2.0")
    newer = content.inputs(make_plan())
    assert {item.name for item in content.changes(one, newer)} == {
        "tool/mke2fs",
        "tool/mmdebstrap",
        "tool/qemu-img",
    }


def test_every_file_that_packer_gets_is_an_input(make_plan: Callable[..., Plan]) -> None:
    names = content.inputs(make_plan())
    assert {"packer/scripts/report.py", "packer/linux.pkr.hcl", "guest/requirements.txt", "base"} <= set(
        names
    )
    assert "packer/guest.tar.gz" not in names
