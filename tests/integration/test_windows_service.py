"""The program of the Windows service, run on Linux: set-up, certificate, password, notebook, Ctrl-C.

icacls, sc and nssm are stand-ins that record their calls.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import uv
from tests.conftest import HASH

from notebake import process
from notebake.address import Address
from notebake.plan.plan import Plan
from notebake.probe import run
from notebake.probe.subject import Subject
from notebake.progress import Steps
from notebake.provision import files

CHECKS = ("tls", "fingerprint", "san", "login_refused", "login", "plot", "profile", "builtins", "not_root")


@pytest.fixture
def root() -> Iterator[Path]:
    # Not pytest's temporary folder: other users have no access to it.
    with tempfile.TemporaryDirectory(prefix="notebake-service-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def box(root: Path, make_plan: Callable[..., Plan]) -> tuple[Path, dict[str, str], int]:
    """Write the provisioning files and run set-up; return the folder, environment variables and port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    plan = make_plan(f'[notebook]\nport = {port}\npassword = "{HASH}"', target="windows-2025")
    home = root / "Program Files/notebake"
    for file in files.build(plan).files:
        path = home / "guest" / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.data)
    # This host's name may have no address but 127.0.0.1.
    text = (home / "guest/service.py").read_text()
    assert "ADDRESS_SECONDS=120" in text
    (home / "guest/service.py").write_text(text.replace("ADDRESS_SECONDS=120", "ADDRESS_SECONDS=0"))
    env, tool = home / "env-0123", uv.find_uv_bin()
    base = shutil.which("python3", path="/usr/bin:/usr/local/bin")
    process.run([tool, "venv", "--quiet", "--no-project", "--python", str(base), env], timeout=120)
    install: list[str | Path] = [tool, "pip", "install", "--quiet", "--python", env / "bin/python"]
    process.run([*install, "notebook", "ipykernel", "numpy", "matplotlib", "cryptography"], timeout=600)
    (env / "Scripts").mkdir()
    (env / "Scripts/python.exe").symlink_to("../bin/python")
    tools = root / "tools"
    tools.mkdir()
    for name in ("icacls.exe", "sc.exe"):
        (tools / name).write_text(f'#!/bin/sh\nprintf "%s\\\\n" "{name} $*" >>"{root}/calls"\n')
        (tools / name).chmod(0o755)
    shutil.copy(tools / "sc.exe", env / "Scripts/nssm.exe")
    home.joinpath("nssm.exe").write_bytes((tools / "sc.exe").read_bytes())
    home.joinpath("nssm.exe").chmod(0o755)
    (root / "calls").write_text("")
    (root / "calls").chmod(0o666)
    settings = {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "PROGRAMDATA": str(root / "ProgramData"),
        "HOME": str(root / "nowhere"),
    }
    process.run([env / "Scripts/python.exe", home / "guest/configure.py", env], timeout=60, env=settings)
    for path in [root / "ProgramData/notebake", *(root / "ProgramData/notebake").rglob("*")]:
        shutil.chown(path, 65534, 65534)
    return home, settings, port


def wait_for_port(port: int, child: subprocess.Popen[bytes]) -> None:
    """Wait until the port is open or the service has ended, at most a minute."""
    pause, until = threading.Event(), time.monotonic() + 60
    while child.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        pause.wait(0.1)


def test_the_service_passes_the_probe_and_stops_with_ctrl_c(
    box: tuple[Path, dict[str, str], int], root: Path
) -> None:
    home, settings, port = box
    log = root / "service.log"
    argv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    with open(log, "wb") as sink:
        child = subprocess.Popen(
            [*argv, str(home / "env-0123/Scripts/python.exe"), "service.py"],
            cwd=home / "guest", stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT,
            env=process.environment(settings), start_new_session=True,
            # A background job of a shell ignores Ctrl-C, and so do its children.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
    try:
        address = Address(host="127.0.0.1", port=port)
        ready = root / "ProgramData/notebake/data/ready"
        wait_for_port(port, child)
        subject = Subject(
            address=address,
            password="correct horse",
            profile="nbserver",
            fingerprint=ready.read_text().split()[0],
        )
        report = run.run(subject, started=datetime.now(UTC), steps=Steps(), checks=CHECKS)
        assert report.passed, (report.to_json(), log.read_text())
        calls = (root / "calls").read_text()
        assert (
            "key.pem.new /inheritance:r /grant:r *S-1-5-18:F *S-1-5-32-544:F NT SERVICE\\notebake:M" in calls
        )
        server = json.loads((root / "ProgramData/notebake/config/jupyter_server_config.json").read_text())
        assert Path(server["ServerApp"]["root_dir"]).is_dir()
        child.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(60)
        assert child.returncode == 0, log.read_text()
    finally:
        process.kill_session(child.pid)
        child.wait()
