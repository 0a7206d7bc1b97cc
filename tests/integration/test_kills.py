"""SIGKILL at any moment: programs end with notebake, and the next call removes what was left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import tenacity
from tests import catalogs

from notebake import files, owner, process, scratch
from notebake.machines import lifecycle, machine, reserve
from notebake.record import record

# For each line it reads, the number of a moment: runs notebake, killed at that one of the moments at which it
# changes something on the host, and prints how it ended. A fork of one process: imports take long.
KILLED = """\
import os, signal, sys
from notebake import launch
from notebake.cli import handout, launch as command, main
from notebake.machines import lifecycle
NAMES = {"subprocess.Popen", "os.mkdir", "os.rename", "os.link", "os.symlink", "os.remove", "os.rmdir",
         "os.chmod", "shutil.rmtree", "tempfile.mkdtemp", "tempfile.mkstemp", "socket.bind"}
def run(moment):
    changes = 0
    def changing(event, args):
        nonlocal changes
        if event in NAMES or event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR):
            changes += 1
            if changes == moment:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(changing)
    main.main(sys.argv[1:])
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        run(int(line))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
_GONE = {"wait": tenacity.wait_fixed(0.2), "stop": tenacity.stop_after_delay(180)}


def marked(name: str, value: str) -> list[int]:
    """Return the processes with this variable."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"{name}={value}".encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def test_what_a_program_started_ends_with_notebake(tmp_path: Path) -> None:
    """Also what has left its group and session, as a daemon does."""
    script = "setsid sleep 1000 & setsid -f sleep 1000; echo x > started; sleep 1000"
    code = (
        "from notebake import owner, process; print(owner.mark(), flush=True); "
        f"process.run(['sh', '-c', {script!r}], timeout=None)"
    )
    child = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    mark = child.stdout.readline().strip()
    tenacity.Retrying(**_GONE, retry=tenacity.retry_if_result(lambda there: not there))(
        (tmp_path / "started").exists
    )
    assert len(marked("NOTEBAKE_OWNER", mark)) >= 3
    child.kill()
    child.communicate()
    assert owner.is_dead(mark)
    tenacity.Retrying(**_GONE, retry=tenacity.retry_if_result(bool))(lambda: marked("NOTEBAKE_OWNER", mark))


def test_the_next_call_ends_what_was_left_running(tmp_path: Path) -> None:
    """As where the program that watches was killed too."""
    dead = "-".join((str(os.getpid()), "1", *owner.mark().split("-")[2:]))
    left = process.spawn(["sleep", "1000"], log=tmp_path / "log", env={"NOTEBAKE_OWNER": dead})
    kept = process.spawn(["sleep", "1000"], log=tmp_path / "log", env={"NOTEBAKE_OWNER": owner.mark()})
    try:
        process.end_orphans()
        assert os.waitpid(left, 0)[1] == signal.SIGKILL
        assert os.waitpid(kept, os.WNOHANG) == (0, 0)
    finally:
        os.kill(kept, signal.SIGKILL)
        os.waitpid(kept, 0)


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_the_next_temporary_folder_replaces_one_of_a_killed_call(tmp_path: Path, kind: str) -> None:
    dead = tmp_path / f".x.{os.getpid()}-1-{'-'.join(owner.mark().split('-')[2:])}.abc"
    far = tmp_path / ".x.1-1-00000000-00000000.abc"
    own = tmp_path / ".x"
    for path in (dead, far, own):
        path.mkdir() if kind == "folder" else path.touch()
    with scratch.folder(tmp_path, "x") as made:
        assert set(tmp_path.iterdir()) == {made, far, own}
        with scratch.folder(tmp_path, "x"):
            assert made.exists()
    assert set(tmp_path.iterdir()) == {far, own}


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a path short enough for QEMU's socket."""
    folder = Path(tempfile.mkdtemp(prefix="nb"))
    for name in ("STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(folder / name.lower()))
    monkeypatch.setenv("TMPDIR", str(folder / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    (folder / "tmp").mkdir()
    yield folder
    shutil.rmtree(folder)


def test_a_launch_killed_at_any_moment(home: Path) -> None:
    image = home / "debian-13.qcow2"
    process.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "64M"], timeout=60)
    status = image.stat()
    disk = record.Image(
        file=image.name, sha256=files.sha256(image), bytes=status.st_size, mtime_ns=status.st_mtime_ns
    )
    record.write(image, catalogs.small().model_copy(update={"image": disk}))
    command = ["launch", "--image", str(image), "--memory", "256", "--timeout", "1", "--accel", "tcg"]
    driver = subprocess.Popen(
        [sys.executable, "-B", "-c", KILLED, *command],
        cwd=home, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
    )  # fmt: skip
    assert driver.stdin is not None and driver.stdout is not None
    machines, code, moment = home / "state/notebake/machines", -signal.SIGKILL, 0
    while code == -signal.SIGKILL:
        moment += 1
        print(moment, file=driver.stdin)
        code = int(driver.stdout.readline())
        reserve.discard(reserve.prepare("next").name)
        for path in machines.iterdir():  # it has a record: a machine as any other
            assert (path / machine.RECORD).exists(), (moment, path)
            lifecycle.delete(path.name)
        assert list(machines.iterdir()) == []
        assert marked(machine.MARK, str(machines / "debian-13-1")) == [], moment
        assert [path for path in home.rglob("*") if path.name.startswith(".")] == [], moment
    driver.communicate()
    # It ended by itself, since the machine has no notebook.
    assert code == 5 and moment > 20
