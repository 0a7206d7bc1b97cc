"""[image]: own packages, files and scripts; what is refused, and what reaches the machine."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.rendering import delivered, user_data

from notebake.bake import inputs
from notebake.errors import SpecError
from notebake.plan import own_files
from notebake.plan.plan import Plan
from notebake.provision import files

SCRIPT = '[[image.run]]\nscript = "setup/own.sh"\n'
FILE = '[[image.files]]\nsource = "own.bin"\npath = "/etc/own.conf"\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Path:
    """The spec's folder, with a script and a file."""
    (tmp_path / "setup").mkdir()
    (tmp_path / "setup/own.sh").write_text("#!/bin/bash\necho own\n")
    (tmp_path / "own.bin").write_bytes(b"text\n")
    return tmp_path


def payload(plan: Plan) -> dict[str, bytes]:
    return {file.path: file.data for file in files.build(plan).files}


def config(plan: Plan) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(payload(plan)["config.json"])
    return found


def test_without_own_software_its_program_is_not_carried(make_plan: Callable[..., Plan]) -> None:
    made = make_plan("")
    assert "own.py" not in payload(made)
    assert (config(made)["own"], config(made)["os_packages"]) == ({}, [])


@pytest.mark.parametrize(
    ("value", "apt", "zypper"),
    [
        ('["git", "g++", "git"]', ["git", "g++"], ["git", "g++"]),
        (
            '{apt = ["libc6:amd64", "git=1:2.4~x"], zypper = ["pattern:devel_basis"]}',
            ["libc6:amd64", "git=1:2.4~x"],
            ["pattern:devel_basis"],
        ),
        ('{apt = ["git"]}', ["git"], []),
    ],
)
def test_packages_have_a_name_for_each_family(
    make_plan: Callable[..., Plan], value: str, apt: list[str], zypper: list[str]
) -> None:
    text = f"[image]\nos_packages = {value}"
    assert config(make_plan(text))["os_packages"] == apt
    assert config(make_plan(text, "opensuse-leap-16.0"))["os_packages"] == zypper


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[image]\nos_packages = ["-oDebug=1"]', "image.os_packages: .-oDebug=1. is not the name"),
        ('[image]\nos_packages = ["nano-"]', "is not the name of a package"),
        ('[image]\nos_packages = ["a b"]', "is not the name of a package"),
        ('[image]\nos_packages = [""]', "is not the name of a package"),
        ('[image]\nos_packages = "git"', "image.os_packages: must be a list"),
        ('[image.run]\nscript = "setup/own.sh"', "image.run: must be a list"),
        ('[image]\nos_packages = {apt = ["!git"]}', "image.os_packages.apt: "),
        ('[image]\nos_packages = {dnf = ["git"]}', "image.os_packages.dnf: unknown key"),
        ('[[image.run]]\nscript = "missing.sh"', r"image.run: .*missing.sh: no such file"),
        ('[[image.run]]\nscript = "setup"', "image.run: .*setup: cannot be read"),
        ('[[image.run]]\nscript = ""', "image.run.0.script"),
        ('[[image.run]]\nscript = "own\\u0000"', "image.run.script: a text with a control character"),
        ('[[image.run]]\nwhen = "after"', "image.run.0.script"),
        (SCRIPT + 'when = "during"', "image.run.0.when"),
        (SCRIPT + SCRIPT, "script .setup/own.sh. is listed twice"),
        ('[[image.files]]\nsource = "own.bin"\npath = "etc/own"', "image.files.0.path: .*absolute"),
        ('[[image.files]]\nsource = "own.bin"\npath = "/etc/../own"', "image.files.0.path: .*absolute"),
        ('[[image.files]]\nsource = "own.bin"\npath = "/etc/own/"', "image.files.0.path: .*absolute"),
        ('[[image.files]]\nsource = "own.bin"\npath = "/"', "image.files.0.path: .*absolute"),
        ('[[image.files]]\nsource = "own.bin"\npath = "/etc/a\\nb"', "no control characters"),
        ('[[image.files]]\nsource = "own.bin"\npath = "/tmp/own"', "nothing below /tmp is kept"),
        ('[[image.files]]\nsource = "own.bin"\npath = "/opt/notebake/env"', "below /opt/notebake"),
        ('[[image.files]]\nsource = "none"\npath = "/etc/own"', "image.files: .*none: no such file"),
        (FILE + FILE, "path ./etc/own.conf. is listed twice"),
        (FILE + FILE.replace("own.conf", "own.conf/x"), "cannot be a file and the folder"),
        (FILE + 'mode = "rw-r--r--"', "image.files.0.mode"),
        (FILE + 'mode = "0888"', "image.files.0.mode"),
    ],
)
def test_what_no_machine_could_do_is_refused(make_plan: Callable[..., Plan], text: str, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        make_plan(text)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\xef\xbb\xbf#!/bin/sh\n", "byte order mark"),
        (b"#!/bin/sh\r\necho\r\n", "line ends"),
        (b"\x7fELF\0", "not a text file"),
        ("#!/bin/sh\n".encode("utf-16"), "not a text file"),
    ],
)
def test_a_script_that_linux_would_not_run_is_refused(
    make_plan: Callable[..., Plan], folder: Path, data: bytes, says: str
) -> None:
    (folder / "setup/own.sh").write_bytes(data)
    with pytest.raises(SpecError, match=f"setup/own.sh: .*{says}"):
        make_plan(SCRIPT)


@pytest.mark.parametrize(
    ("line", "argv"),
    [
        ("echo hello", ["/bin/sh", "-e"]),
        ("", ["/bin/sh", "-e"]),
        ("#!", ["/bin/sh", "-e"]),
        ("#!/bin/bash", ["/bin/bash", "-e"]),
        ("#! /bin/bash -x", ["/bin/bash", "-x", "-e"]),
        ("#!/usr/bin/env bash", ["/usr/bin/env", "bash", "-e"]),
        ("#!/usr/bin/env -S bash -x", ["/usr/bin/env", "bash", "-x", "-e"]),
        ("#!/usr/bin/env -S A=b bash", ["/usr/bin/env", "A=b", "bash", "-e"]),
        ("#!/usr/bin/env python3", ["/usr/bin/env", "python3"]),
        ("#!/opt/notebake/env/bin/python", ["/opt/notebake/env/bin/python"]),
    ],
)
def test_a_shell_gets_e_and_any_other_program_runs_as_it_is(line: str, argv: list[str]) -> None:
    assert list(own_files.interpreter(line)) == argv


def test_the_same_files_reach_the_machine_on_both_ways(make_plan: Callable[..., Plan], folder: Path) -> None:
    (folder / "own.bin").write_bytes(b"\0\xff\r\n" * 100)
    (folder / "text").write_bytes("à\r\n [[x]] {{ y }}".encode())
    text = SCRIPT + FILE + 'mode = "4750"\n[[image.files]]\nsource = "text"\npath = "/etc/à b"\n'
    made = make_plan(text)
    found = payload(made)
    assert found["own/1-own.sh"] == b"#!/bin/bash\necho own\n"
    assert base64.b64decode(found["own/1"]) == b"\0\xff\r\n" * 100
    assert found["own/2"] == "à\r\n [[x]] {{ y }}".encode()
    assert config(made)["own"] == {
        "files": [["/etc/own.conf", 0o4750, True], ["/etc/à b", 0o644, False]],
        "run": [["setup/own.sh", "after", "own/1-own.sh", ["/bin/bash", "-e"]]],
    }
    assert delivered(user_data(made).clouds["gcp"]) == {path: data.decode() for path, data in found.items()}


def test_content_is_in_the_content_id(make_plan: Callable[..., Plan], folder: Path) -> None:
    def changed() -> list[str]:
        old = known()
        return [change.name for change in inputs.changes(before, old)]

    def known() -> dict[str, str]:
        made = make_plan(SCRIPT + FILE)
        return inputs.inputs(made, files.build(made))

    before = known()
    assert changed() == []
    (folder / "setup/own.sh").write_text("#!/bin/bash\necho other\n")
    assert changed() == ["guest/own/1-own.sh"]
    (folder / "own.bin").write_bytes(b"other\n")
    assert changed() == ["guest/own/1", "guest/own/1-own.sh"]


@pytest.mark.parametrize("text", [SCRIPT, FILE, '[image]\nos_packages = ["git"]'])
def test_windows_has_none_yet(make_plan: Callable[..., Plan], text: str) -> None:
    with pytest.raises(SpecError, match="not supported on Windows"):
        make_plan(text, "windows-2025")
