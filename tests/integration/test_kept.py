"""The programs that passwd, backup and restore send, as root in a mount namespace of their own; no ssh."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import signal
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.unit.test_cli_machines import a_machine

from notebake import process
from notebake.errors import CommandFailed
from notebake.machines import backup, password, platforms
from notebake.machines.machine import Machine

USER, UID = "nbuser", 2000
NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
# Instead of ssh: its last word is what the machine's shell runs.
SSH = """\
#!/bin/sh -eu
for line; do :; done
exec unshare --mount --propagation private sh -euc '
cp -a /etc "$1/etc.$$"
echo "nbuser:x:2000:2000::$1/home:/bin/bash" >>"$1/etc.$$/passwd"
mount --bind "$1/etc.$$" /etc
mount --bind "$1/opt" /opt
exec sh -c "$2"' sh {folder} "$line"
"""
SUDO = '#!/bin/sh\nshift\nexec "$@"\n'
SYSTEMCTL = '#!/bin/sh\necho "$@" >>{folder}/systemctl\n'


def program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the machine's home and provisioning files."""
    # Not pytest's temporary folder: other users have no access to it.
    with tempfile.TemporaryDirectory(prefix="notebake-kept-") as name:
        Path(name).chmod(0o755)
        make(Path(name), monkeypatch)
        yield Path(name)


def make(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("bin", "home/notebooks", "opt/notebake/guest", "opt/notebake/env/lib/python3.11"):
        (folder / name).mkdir(parents=True)
    (folder / "opt/notebake/guest").chmod(0o700)
    config = {"user": USER, "folder": "notebooks", "profile": "nb", "password": "argon2:old"}
    (folder / "opt/notebake/guest/config.json").write_text(json.dumps(config))
    for name, text in (("ssh", SSH), ("sudo", SUDO), ("systemctl", SYSTEMCTL)):
        program(folder / "bin" / name, text.replace("{folder}", shlex.quote(str(folder))))
    # /opt/notebake belongs to the machine; the programs come first on the path.
    monkeypatch.setenv("PATH", f"{folder}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    monkeypatch.setattr(platforms, "look", lambda machine: True)
    real = process.which
    monkeypatch.setattr(process, "which", lambda name: folder / "bin/ssh" if name == "ssh" else real(name))


@pytest.fixture
def lab(place: Path) -> Machine:
    machine = a_machine("lab")
    machine.ssh.key.touch()
    return machine


def give(home: Path) -> None:
    process.run(["chown", "-hR", f"{UID}:{UID}", home], timeout=60)


def test_a_home_is_saved_and_put_back_as_the_notebooks_user(
    place: Path, lab: Machine, tmp_path: Path
) -> None:
    home = place / "home"
    (home / "notebooks/a.ipynb").write_text("{}")
    big = os.urandom(5_000_000)
    (home / "big").write_bytes(big)
    (home / "secret").write_text("root's")
    give(home)
    os.chown(home / "secret", 0, 0)
    (home / "secret").chmod(0o600)
    manifest = backup.save(lab, tmp_path / "lab.tar", now=NOW)
    assert manifest.left_out == ("'home/secret': the notebook's user may not read it",)
    assert "python3.11" in manifest.layer and manifest.content.size > 5_000_000

    for path in (home / "big", home / "notebooks/a.ipynb"):
        path.unlink()
    facts = backup.restore(lab, tmp_path / "lab.tar")
    assert facts == {"members": manifest.members, "layer": False, "layer_left_out": None}
    assert (home / "big").read_bytes() == big and (home / "big").stat().st_uid == UID
    assert (home / "notebooks/a.ipynb").stat().st_uid == UID
    assert (home / "secret").read_text() == "root's"


def test_a_folder_that_the_user_may_not_write_is_one_message(
    place: Path, lab: Machine, tmp_path: Path
) -> None:
    home = place / "home"
    (home / "sub").mkdir()
    (home / "sub/x").write_text("x")
    give(home)
    backup.save(lab, tmp_path / "lab.tar", now=NOW)
    (home / "sub/x").write_text("changed")
    os.chown(home / "sub", 0, 0)
    with pytest.raises(CommandFailed, match="lab: 'home/sub/x': the notebook's user cannot write into"):
        backup.restore(lab, tmp_path / "lab.tar")
    assert (home / "sub/x").read_text() == "changed"


def test_a_connection_that_is_cut_leaves_no_file(
    place: Path, lab: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "home/big").write_bytes(os.urandom(20_000_000))
    give(place / "home")
    real: Callable[..., process.Completed] = process.stream

    def cut(argv: list[str], **how: object) -> process.Completed:
        sink = how["sink"]
        assert callable(sink)

        def take(block: bytes) -> None:
            sink(block)
            for pid in process_ids(place):
                os.kill(pid, signal.SIGKILL)

        return real(argv, **{**how, "sink": take})

    monkeypatch.setattr(process, "stream", cut)
    with pytest.raises(CommandFailed, match="lab: "):
        backup.save(lab, tmp_path / "lab.tar", now=NOW)
    assert list(tmp_path.iterdir()) == []


def process_ids(place: Path) -> list[int]:
    """Return the programs of this machine."""
    marks = (b"sys.stdin.buffer.read", str(place).encode())
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if marks[0] in (path / "cmdline").read_bytes() and marks[1] in (path / "environ").read_bytes():
                found.append(int(path.name))
        except OSError:
            continue
    return found


def test_the_hash_is_replaced_and_the_server_restarts(place: Path, lab: Machine) -> None:
    machine = dataclasses.replace(lab)
    password.change(machine, "argon2:new")
    config = json.loads((place / "opt/notebake/guest/config.json").read_text())
    assert config == {"user": USER, "folder": "notebooks", "profile": "nb", "password": "argon2:new"}
    assert (place / "systemctl").read_text() == "restart notebake-notebook.service\n"
    (place / "opt/notebake/guest/config.json").unlink()
    with pytest.raises(CommandFailed, match="lab: not a notebook machine"):
        password.change(machine, "argon2:new")
