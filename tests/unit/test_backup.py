"""Backups of a launched machine: what is in them, what is refused, what stays."""

from __future__ import annotations

import dataclasses
import errno
import gzip
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Run

from notebake import process
from notebake.machines import machine as record
from notebake.machines import platforms
from notebake.machines.machine import Machine
from notebake.machines.programs import home as program
from notebake.process import Completed

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
NEW = "another long sentence"


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def content(folder: Path) -> dict[str, str]:
    """Return each file's text, each link as `-> TARGET`, by the path below `folder`."""
    return {
        path.relative_to(folder).as_posix(): f"-> {path.readlink()}"
        if path.is_symlink()
        else path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def packed(places: dict[str, Path], *skipped: str) -> tuple[bytes, dict[str, Any]]:
    output = io.BytesIO()
    facts = program.pack(places, (*program.SKIPPED, *skipped), output)
    return output.getvalue(), facts


def a_tar(*members: tuple[str, bytes, str]) -> bytes:
    """Return a gzipped tar of (name, type, text or link's target)."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w:gz") as tar:
        for name, kind, text in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            if kind == tarfile.REGTYPE:
                info.size = len(text)
            else:
                info.linkname = text
            tar.addfile(info, io.BytesIO(text.encode()))
    return output.getvalue()


@pytest.fixture
def full(tmp_path: Path) -> dict[str, Path]:
    """A home with notebooks, settings, packages, and what the machine makes itself."""
    home = tmp_path / "full"
    write(home, {
        "notebooks/a.ipynb": "{}", "notebooks/sub/b.csv": "1", ".jupyter/lab/s": "setting", "code/x.py": "x",
        ".venv/lib/python3.13/site-packages/cow.py": "moo", ".venv/bin/cow": "cow",
        ".venv/bin/python-tool": "kept",
        ".venv/lib/python3.13/site-packages/notebake.pth": "locked", ".venv/pyvenv.cfg": "own",
        ".cache/pip/x": "x", ".ipython/profile_nb/security/k": "key", ".ipython/profile_nb/startup/a.py": "a",
        ".ipython/profile_nb/ipython_kernel_config.py": "from the spec",
    })  # fmt: skip
    (home / ".venv/bin/python").symlink_to("/usr/bin/python3")
    (home / "code/run").write_text("#!/bin/sh\n")
    (home / "code/run").chmod(0o700)
    (home / "link").symlink_to("notebooks/a.ipynb")
    (home / "absolute").symlink_to(home / "code/x.py")
    (home / "outside").symlink_to("/etc/passwd")
    os.utime(home / "code/x.py", (1_000_000_000, 1_000_000_000))
    return program.roots(home, home / "notebooks")


def empty(folder: Path, notebooks: str = "work") -> dict[str, Path]:
    (folder / notebooks).mkdir(parents=True)
    return program.roots(folder, folder / notebooks)


def test_a_home_is_restored_into_another_with_its_notebooks_in_their_folder(
    full: dict[str, Path], tmp_path: Path
) -> None:
    data, facts = packed(full, ".ipython/profile_nb/ipython_kernel_config.py")
    assert facts["left_out"] == ["'home/outside': a link that leads outside"]
    there = empty(tmp_path / "there")
    write(tmp_path / "there", {"work/mine": "mine", "code/x.py": "old", ".ipython/profile_nb/own": "own"})
    found = program.unpack(io.BytesIO(data), there, True)
    assert found == {"members": facts["members"], "layer": True}
    assert content(tmp_path / "there") == {
        "work/a.ipynb": "{}", "work/sub/b.csv": "1", "work/mine": "mine", ".jupyter/lab/s": "setting",
        "code/x.py": "x", "code/run": "#!/bin/sh\n", ".ipython/profile_nb/own": "own",
        ".ipython/profile_nb/startup/a.py": "a", "link": "-> notebooks/a.ipynb", "absolute": "-> code/x.py",
        ".venv/lib/python3.13/site-packages/cow.py": "moo", ".venv/bin/cow": "cow",
        ".venv/bin/python-tool": "kept",
    }  # fmt: skip
    assert (tmp_path / "there/code/run").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "there/code/x.py").stat().st_mtime == 1_000_000_000


def test_packages_of_another_system_are_left_out(full: dict[str, Path], tmp_path: Path) -> None:
    found = program.unpack(io.BytesIO(packed(full)[0]), empty(tmp_path / "there"), False)
    assert found["layer"] and (tmp_path / "there/code/x.py").exists()
    assert not (tmp_path / "there/.venv").exists()


def test_notebooks_outside_the_home_are_saved(tmp_path: Path) -> None:
    write(tmp_path, {"srv/a.ipynb": "{}", "home/x": "x"})
    places = program.roots(tmp_path / "home", tmp_path / "srv")
    data, facts = packed(places)
    there = empty(tmp_path / "there")
    program.unpack(io.BytesIO(data), there, True)
    assert content(tmp_path / "there") == {"work/a.ipynb": "{}", "x": "x"} and not facts["left_out"]


def test_a_file_that_is_cut_while_it_is_read_ends_in_zeros(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"home/log": "12345678"})
    places = empty(tmp_path / "home")
    real = os.fstat

    def fstat(number: int) -> os.stat_result:
        status = real(number)
        os.truncate(tmp_path / "home/log", 3)
        return status

    with monkeypatch.context() as patch:
        patch.setattr(program.os, "fstat", fstat)
        data, _ = packed(places)
    program.unpack(io.BytesIO(data), empty(tmp_path / "there"), True)
    assert content(tmp_path / "there") == {"log": "123\0\0\0\0\0"}


FILE, LINK = tarfile.REGTYPE, tarfile.SYMTYPE


@pytest.mark.parametrize(
    "member",
    [
        ("/etc/x", FILE, "x"),
        ("x", FILE, "x"),
        ("home", FILE, "x"),
        ("other/x", FILE, "x"),
        ("home/../x", FILE, "x"),
        ("home/a/../../../x", FILE, "x"),
        ("home//etc/x", FILE, "x"),
        ("home/./x", FILE, "x"),
        ("home/out/x", FILE, "x"),
        ("home/x", LINK, "/etc/passwd"),
        ("home/x", LINK, "../secret"),
        ("home/x", LINK, "out/y"),
        ("home/x", tarfile.LNKTYPE, "home/good"),
        ("home/x", tarfile.FIFOTYPE, ""),
        ("home/x", tarfile.CHRTYPE, ""),
        ("home/code", FILE, "a folder there"),
        ("home/code/file/x", FILE, "a file there"),
        ("home/code/file", tarfile.DIRTYPE, ""),
    ],
)
def test_what_leads_outside_or_is_something_else_there_is_refused_and_nothing_changes(
    member: tuple[str, bytes, str], tmp_path: Path
) -> None:
    there = empty(tmp_path / "there")
    write(tmp_path, {"there/code/file": "f", "there/good": "old", "secret": "s", "outside/y": "y"})
    (tmp_path / "there/out").symlink_to(tmp_path / "outside")
    before = content(tmp_path)
    data = a_tar(("home/good", FILE, "new"), member)
    with pytest.raises(program.Refused):
        program.unpack(io.BytesIO(data), there, True)
    assert content(tmp_path) == before and not list(tmp_path.rglob(program.STAGE))


def test_links_that_lead_outside_together_are_refused(tmp_path: Path) -> None:
    there = empty(tmp_path / "there")
    (tmp_path / "there/a/b").mkdir(parents=True)
    data = a_tar(("home/first", LINK, "a/b/up/../../x"), ("home/a/b/up", LINK, "../.."))
    with pytest.raises(program.Refused, match="outside"):
        program.unpack(io.BytesIO(data), there, True)
    assert not (tmp_path / "there/first").is_symlink()


@pytest.mark.parametrize("size", [0, 10, 200, -200, -9, -1])
def test_a_cut_connection_changes_nothing(size: int, full: dict[str, Path], tmp_path: Path) -> None:
    there = empty(tmp_path / "there")
    write(tmp_path, {"there/code/x.py": "old"})
    data, _ = packed(full)
    with pytest.raises((EOFError, tarfile.TarError, gzip.BadGzipFile)):
        program.unpack(io.BytesIO(data[:size]), there, True)
    assert content(tmp_path / "there") == {"code/x.py": "old"}


def test_a_full_disk_on_the_machine_changes_nothing(
    full: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = empty(tmp_path / "there")
    write(tmp_path, {"there/code/x.py": "old"})
    data, _ = packed(full)
    copied: list[Any] = []

    def copy(source: Any, file: Any, size: int) -> None:
        copied.append(file)
        if len(copied) > 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copyfileobj", copy)
    with pytest.raises(OSError, match="No space"):
        program.unpack(io.BytesIO(data), there, True)
    assert content(tmp_path / "there") == {"code/x.py": "old"}


Stream = Callable[..., Completed]


HERE = "debian 13, python3.13, x86_64, /home/azureuser/.venv"


@pytest.fixture
def streams(
    lab: Machine, full: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Path]:
    """A machine whose programs run here; return the places of a restore."""
    there = empty(tmp_path / "there")

    def stream(argv: list[str], *, source: Iterable[bytes] = (), sink: Any = None) -> Completed:
        if sink:
            data, facts = packed(full)
            for start in range(0, len(data), 100):
                sink(data[start : start + 100])
            facts["layer"] = HERE
        else:
            sent = b"".join(source).removeprefix(Path(program.__file__).read_bytes())
            facts = program.unpack(io.BytesIO(sent), there, True)
            facts["here"] = HERE
        return Completed(argv=(), returncode=0, stdout=b"a warning\n" + json.dumps(facts).encode())

    monkeypatch.setattr(process, "stream", stream)
    return there


def test_backup_writes_an_ordinary_tar_with_a_manifest_that_restore_takes(
    run: Run, streams: dict[str, Path], tmp_path: Path
) -> None:
    code, out, _ = run("backup", "lab", "-o", "a.tar", "--json")
    assert code == 0
    (shown,) = json.loads(out)
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert tar.getnames() == ["manifest.json", "content.tar.gz"]
        manifest = tar.extractfile("manifest.json")
        assert manifest is not None and {"file": "a.tar", **json.loads(manifest.read())} == shown
        with tarfile.open(fileobj=tar.extractfile("content.tar.gz")) as inner:
            assert "notebooks/a.ipynb" in inner.getnames()
    assert (shown["machine"], shown["target"], shown["layer"]) == ("lab", "debian-13", HERE)
    assert (tmp_path / "a.tar").stat().st_mode & 0o777 == 0o600
    code, out, err = run("restore", "lab", "a.tar")
    assert code == 0 and out == f"lab: {shown['members']} files and folders restored\n", err
    assert content(tmp_path / "there")["work/a.ipynb"] == "{}"


def test_backup_names_the_file_after_machine_and_time_and_what_is_left_out(
    run: Run, streams: dict[str, Path], tmp_path: Path
) -> None:
    code, out, err = run("backup", "lab")
    (file,) = tmp_path.glob("lab-*-*.tar")
    assert code == 0 and out.startswith(f"{file.name}: ")
    assert "left out: 'home/outside': a link that leads outside" in err


def test_restore_says_which_packages_it_left_out(run: Run, streams: dict[str, Path], tmp_path: Path) -> None:
    run("backup", "lab", "-o", "a.tar")
    data = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(data.replace(b"debian 13", b"suse 16.0"))
    code, _, err = run("restore", "lab", "a.tar")
    assert code == 0 and "they need suse 16.0, python3.13" in err and "this machine has debian 13" in err


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda data: data[:-3000], "only a part"),
        (lambda data: data[:67_000], "only a part"),
        (lambda data: data[:300], "not a backup"),
        (lambda data: b"", "not a backup"),
        (lambda data: b"x" * 5000, "not a backup"),
        (lambda data: data[:66_700] + b"\0\1\2" + data[66_703:], "SHA-256 mismatch"),
        (lambda data: data.replace(b'"format": 1', b'"format": 2'), "another notebake version"),
        (lambda data: data.replace(b'"debian 13', b'"\\u0000 13'), "another notebake version"),
        (lambda data: data.replace(b"manifest.json", b"manifest.jsox"), "not a backup"),
        (lambda data: a_tar(("manifest.json", FILE, "{}")), "not a backup"),
    ],
)
def test_a_file_that_is_no_whole_backup_reaches_no_machine(
    run: Run, streams: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    change: Callable[[bytes], bytes], says: str,
) -> None:  # fmt: skip
    run("backup", "lab", "-o", "a.tar")
    data = (tmp_path / "a.tar").read_bytes()
    changed = change(data)
    assert changed != data
    (tmp_path / "a.tar").write_bytes(changed)
    monkeypatch.setattr(process, "stream", lambda *_, **__: pytest.fail("sent"))
    code, _, err = run("restore", "lab", "a.tar")
    assert code == 7 and says in err and err.count("error:") == 1, err


def test_a_backup_that_fails_leaves_the_old_file_and_no_other(
    run: Run, lab: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.tar").write_text("old")
    before = sorted(path.name for path in tmp_path.iterdir())

    def cut(argv: list[str], *, source: object = (), sink: Any) -> Completed:
        sink(b"half")
        return Completed(argv=(), returncode=255, stdout=b"Connection closed by remote host\r\n")

    def full_disk(argv: list[str], *, source: object = (), sink: Any) -> Completed:
        sink(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def silent(argv: list[str], *, source: object = (), sink: Any) -> Completed:
        return Completed(argv=(), returncode=0, stdout=b"")

    for stream, says in ((cut, "closed by remote"), (full_disk, "No space left"), (silent, "exit code 0")):
        monkeypatch.setattr(process, "stream", stream)
        code, _, err = run("backup", "lab", "-o", "a.tar")
        assert code == 4 and says in err and "hint:" in err, err
        assert (tmp_path / "a.tar").read_text() == "old"
        assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_machine_that_is_off_or_has_no_ssh_is_refused(
    run: Run, lab: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.tar").touch()
    commands = (["backup", "lab"], ["passwd", "lab", "--password-stdin"])
    monkeypatch.setattr(platforms, "look", lambda machine: False)
    for args in commands:
        code, _, err = run(*args, stdin=f"{NEW}\n")
        assert code == 4 and "lab: does not run" in err and "notebake start lab" in err
    lab.ssh.key.unlink()
    for args in commands:
        code, _, err = run(*args, stdin=f"{NEW}\n")
        assert code == 2 and "no ssh" in err
    record.save(dataclasses.replace(lab, target="windows-2025"))
    for args in commands:
        assert run(*args, stdin=f"{NEW}\n")[0] == 2
    assert run("backup", "nobody")[0] == run("restore", "nobody", "a.tar")[0] == 2
    assert not list(tmp_path.glob("lab-*"))
