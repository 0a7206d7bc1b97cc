"""What outlives a password, and what a backup keeps: on one machine."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.conftest import PASSWORD, context_of, printed
from tests.e2e.test_incus import Notebake, command, ended, one_error
from tests.incus import Incus

from notebake.errors import CheckFailed
from notebake.machines import lifecycle

pytestmark = [pytest.mark.usefixtures("base_root"), pytest.mark.xdist_group("kept")]

LIMIT = 300.0
NEW = "another long sentence"
NOTEBOOK = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module")
def notebake(incus: Incus, folder: Path) -> Iterator[Notebake]:
    def run(*args: str, **how: object) -> str:
        return ended(command(folder, *args), **how)  # type: ignore[arg-type]

    run("launch", "debian-13", "--platform", "incus", "--name", "kept", "--memory", "1500")
    yield run
    run("delete", "--yes", "kept")


def test_another_password_ends_all_log_ins(notebake: Notebake) -> None:
    before = context_of("kept", PASSWORD)
    assert before.session().accepted(seconds=LIMIT)
    passwd = ("passwd", "kept", "--yes", "--password-stdin")
    one_error(notebake(*passwd, code=2, stdin="short\n"), "too short")
    one_error(notebake("passwd", "kept", "--password-stdin", code=2, stdin=f"{NEW}\n"), "--yes")
    assert before.session().accepted(seconds=LIMIT)

    assert notebake(*passwd, stdin=f"{NEW}\n") == "kept: password changed; everybody has to log in again\n"
    assert not before.session().accepted(seconds=LIMIT)
    with pytest.raises(CheckFailed, match="rejected"):
        context_of("kept", PASSWORD).session()
    after = context_of("kept", NEW)
    assert after.session().accepted(seconds=LIMIT)
    # sudo logs this command too: its pattern does not match itself.
    logs = "grep -rl 'argon2i[d]' /var/log /run/log; journalctl --no-pager | grep -c 'argon2i[d]' || true"
    assert after.command("sudo", "-n", "sh", "-c", logs).stdout.split() == [b"0"]


def test_a_backup_is_restored_as_it_was_and_nothing_else_changes(notebake: Notebake, folder: Path) -> None:
    machine = context_of("kept", NEW)
    work = machine.session().request("PUT", "/api/contents/work.ipynb", seconds=LIMIT, data={
        "type": "notebook", "content": NOTEBOOK}
    )  # fmt: skip
    assert work.status == 201
    assert "Successfully installed" in printed(machine, "%pip install --no-deps cowsay")
    setup = (
        "import os, pathlib; home = pathlib.Path.home()\n"
        "(home / '.jupyter/lab').mkdir(parents=True); (home / '.jupyter/lab/mine').write_text('setting')\n"
        "(home / 'notebooks/out').symlink_to('/etc'); (home / 'notebooks/in').symlink_to('work.ipynb')\n"
        "(home / '.cache/x').mkdir(parents=True); (home / 'big').write_bytes(os.urandom(50_000_000))"
    )
    printed(machine, setup)
    (made,) = json.loads(notebake("backup", "kept", "-o", "kept.tar", "--json"))
    assert made["left_out"] == ["'notebooks/out': a link that leads outside"] and made["machine"] == "kept"
    assert (folder / "kept.tar").stat().st_mode & 0o777 == 0o600
    with tarfile.open(folder / "kept.tar") as outer:
        content = outer.extractfile("content.tar.gz")
        with tarfile.open(fileobj=content) as inner:
            names = set(inner.getnames())
    assert {"notebooks/work.ipynb", "notebooks/in", "home/.jupyter/lab/mine", "home/big"} <= names
    assert not {"home/.venv/bin/python", "home/.cache", "home/.cache/x", "notebooks/out"} & names

    machine.leave()
    change = (
        "cd /home/azureuser && cp big /var/tmp/big && rm -rf .venv .jupyter big notebooks/work.ipynb "
        "notebooks/in && echo mine >notebooks/other && chown azureuser: notebooks/other"
    )
    machine.output("sudo", "-n", "sh", "-c", change)
    facts = json.loads(notebake("restore", "kept", "kept.tar", "--json"))
    assert facts["layer"] and facts["layer_left_out"] is None and facts["members"] == made["members"]
    check = (
        "cd /home/azureuser && cmp big /var/tmp/big && cat .jupyter/lab/mine notebooks/other && "
        "readlink notebooks/in notebooks/out && find . -user root && ls -A | grep -c restore"
    )
    found = machine.command("sudo", "-n", "sh", "-c", check).stdout.decode().split()
    assert found == ["settingmine", "work.ipynb", "/etc", "0"]
    assert machine.session().request("GET", "/api/contents/work.ipynb", seconds=LIMIT).status == 200
    assert printed(machine, "import cowsay, sys; print(cowsay.__file__.startswith(sys.prefix))") == "True"
    machine.leave()


def test_what_cannot_be_done_is_one_message_and_changes_nothing(notebake: Notebake, folder: Path) -> None:
    data = (folder / "kept.tar").read_bytes()
    (folder / "cut.tar").write_bytes(data[: len(data) // 2])
    (folder / "other.tar").write_bytes(data[:200_000] + b"x" + data[200_001:])
    one_error(notebake("restore", "kept", "cut.tar", code=7), "cut.tar")
    one_error(notebake("restore", "kept", "other.tar", code=7), "SHA-256 mismatch")
    notebake("stop", "kept")
    before = sorted(path.name for path in folder.iterdir())
    one_error(notebake("backup", "kept", code=4), "kept: does not run", "notebake start kept")
    one_error(notebake("restore", "kept", "kept.tar", code=4), "kept: does not run")
    one_error(
        notebake("passwd", "kept", "--yes", "--password-stdin", code=4, stdin=f"{NEW}\n"), "does not run"
    )
    one_error(notebake("backup", "nobody", code=2), "nobody: no such machine")
    assert sorted(path.name for path in folder.iterdir()) == before
    assert lifecycle.machines()[0].has_password
