"""The command line: one message, a hint, an exit code; no traceback and no partly written files."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import click
import pytest
from tests import catalogs
from tests.conftest import Run

from notebake import process
from notebake.cli.main import cli
from notebake.errors import MissingTool
from notebake.plan import spec
from notebake.record import record


@pytest.mark.parametrize("command", cli.list_commands(click.Context(cli)))
def test_every_command_has_help(run: Run, command: str) -> None:
    code, out, _ = run(command, "--help")
    assert code == 0 and out.startswith(f"Usage: notebake {command}")


def test_init_stores_only_a_hash_and_does_not_overwrite(run: Run, tmp_path: Path) -> None:
    assert run("init", "--password-stdin", stdin="hunter2\n")[0] == 0
    text = (tmp_path / "notebake.toml").read_text()
    assert "hunter2" not in text and spec.load(tmp_path / "notebake.toml").notebook.password
    code, _, err = run("init", "--no-password")
    assert code == 2 and "--force" in err
    assert (tmp_path / "notebake.toml").read_text() == text
    assert run("passwd", "--password-stdin", stdin="other\n")[0] == 0
    changed = (tmp_path / "notebake.toml").read_text()
    assert changed != text and [line for line in changed.splitlines() if "password =" not in line] == [
        line for line in text.splitlines() if "password =" not in line
    ]
    assert run("init", "--force", "--password-stdin", stdin="\n")[0] == 2


def test_render_writes_all_or_nothing(run: Run, tmp_path: Path) -> None:
    run("init", "--no-password")
    assert run("render", "debian-13")[0] == 0
    first = {
        path.name: path.read_bytes() for path in (tmp_path / "rendered/debian-13").iterdir() if path.is_file()
    }
    assert {"user-data", "user-data.yaml", "meta-data", "seed.iso"} <= set(first)
    assert run("render", "debian-13")[0] == 0
    again = {
        path.name: path.read_bytes() for path in (tmp_path / "rendered/debian-13").iterdir() if path.is_file()
    }
    assert again == first
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").write_text("mine")
    code, _, err = run("render", "debian-13", "-o", "mine")
    assert code == 2 and "was not written by notebake" in err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["render", "debian-14"], 2, "debian-13"),
        (["render", "debian-13", "-s", "nope.toml"], 2, "notebake init"),
        (["render", "debian-13", "--cloud", "ibm"], 2, "ibm"),
        (["launch"], 2, "--image"),
        (["launch", "debian-13", "--image", "x.qcow2"], 2, "--image"),
        (["launch", "--image", "x.qcow2"], 2, "no such image"),
        (["launch", "debian-13", "--port", "70000"], 2, "70000"),
        (["launch", "ubuntu-24.04", "--platform", "qemu", "--vm"], 2, "leave out --platform"),
        (["logs", "nobody-1"], 2, "nobody-1"),
        (["ssh", "nobody-1"], 2, "nobody-1"),
        (["stop", "nobody-1"], 2, "nobody-1"),
        (["stop"], 2, "--all"),
        (["passwd"], 2, "cannot prompt for the password"),
        (["init", "other.toml"], 2, "--no-password"),
        (["probe", "https://127.0.0.1:1/"], 2, "--token-stdin"),
        (["probe", "nobody-1"], 2, "no such machine"),
        (["probe", "http://127.0.0.1/", "--token-stdin"], 2, "https"),
        (["probe", "https://127.0.0.1:1/", "--token-stdin", "--fingerprint", "abc"], 2, "fingerprint"),
        (["nonsense"], 2, "nonsense"),
    ],
)  # fmt: skip
def test_wrong_input_is_reported(run: Run, args: list[str], code: int, says: str) -> None:
    run("init", "--no-password")
    actual, _, err = run(*args, stdin="token\n")
    assert (actual, says in err) == (code, True), err


def test_a_changed_image_or_a_missing_record_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.qcow2").write_bytes(b"image")
    assert "no record" in run("launch", "--image", "x.qcow2")[2]
    (tmp_path / "x.json").write_text("{")
    code, _, err = run("launch", "--image", "x.qcow2")
    assert code == 7 and "not a valid record" in err
    record.write(tmp_path / "x.qcow2", catalogs.real())
    assert "SHA-256 mismatch" in run("launch", "--image", "x.qcow2")[2]


def test_a_missing_tool_is_reported_with_doctor_as_the_hint(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("init", "--no-password")
    monkeypatch.setattr("shutil.which", lambda *args, **kwargs: None)
    code, _, err = run("bake", "debian-13")
    assert code == 3 and "packer" in err and "notebake doctor" in err
    with pytest.raises(MissingTool):
        process.which("packer")


def test_a_full_disk_is_reported_and_the_file_is_unchanged(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("init", "--no-password")
    before = (tmp_path / "notebake.toml").read_text()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    code, _, err = run("passwd", "--password-stdin", stdin="x\n")
    assert code == 4 and "No space left" in err and "notebake.toml" in err
    assert (tmp_path / "notebake.toml").read_text() == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_targets_plan_schema_and_ps_print_json(run: Run) -> None:
    run("init", "--no-password")
    rows = json.loads(run("targets", "--json")[1])
    assert {row["name"] for row in rows} >= {"debian-13", "windows-2025"}
    plan = json.loads(run("plan", "debian-13", "--json")[1])
    assert plan["user_data"]["aws"]["fits"] is True and plan["image_is_current"] is False
    assert json.loads(run("schema")[1])["additionalProperties"] is False
    assert json.loads(run("ps", "--json")[1]) == []


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_is_printed(run: Run, shell: str) -> None:
    assert "_NOTEBAKE_COMPLETE" in run("completion", shell)[1]
