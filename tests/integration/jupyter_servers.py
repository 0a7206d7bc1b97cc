"""Real Jupyter servers on loopback for the tests of the probe, and helpers to read probe reports."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jupyter_files
import jupyter_settings
from tests import certificates
from tests.certificates import DAY, Pair

from notebake import process
from notebake.address import Address
from notebake.plan.password import password_hash
from notebake.probe import run as probe_run
from notebake.probe.report import Report, junit
from notebake.probe.subject import Subject
from notebake.progress import Steps

PASSWORD = "correct horse"
TOKEN = "0123456789abcdef0123456789abcdef"
OUTSIDE = (
    "tls",
    "fingerprint",
    "san",
    "login_refused",
    "login",
    "plot",
    "profile",
    "builtins",
    "not_root",
    "own_packages",
    "privileges",
)
# Profile (also the name of the kernel) -> configuration file of that profile.
KERNELS = {
    "nbserver": jupyter_settings.profile({"pylab": "inline"}),
    "nopylab": jupyter_settings.profile({"pylab": "none"}),
    "numpys": "c = get_config()\nc.IPKernelApp.pylab = 'inline'\n",
    "default": jupyter_settings.profile({"pylab": "inline"}),
}


def certificate(folder: Path, fault: str = "") -> str:
    """Write certificate and key as a machine makes them, good except for `fault`; return the fingerprint."""
    now = datetime.datetime.now(datetime.UTC)
    pair = certificates.issue(
        "nb",
        key=certificates.rsa_key(2048) if fault == "rsa" else None,
        names=("nb.example", "192.0.2.1" if fault == "san" else "127.0.0.1"),
        ca=fault == "ca",
        begin=-100 * DAY,
        end=(-1 if fault == "expired" else 200) * DAY,
        now=now,
    )
    put(folder, pair)
    return pair.fingerprint


def put(folder: Path, *chain: Pair) -> None:
    """Write the key and the chain, the server's certificate first, where a server reads them."""
    (folder / "key.pem").write_bytes(chain[0].key_pem)
    (folder / "cert.pem").write_bytes(b"".join(pair.pem for pair in chain))


@contextlib.contextmanager
def restored(folder: Path) -> Iterator[None]:
    """Restore certificate and key in `folder` after the block. Jupyter reads both at every connection."""
    before = {name: (folder / name).read_bytes() for name in ("key.pem", "cert.pem")}
    try:
        yield
    finally:
        for name, data in before.items():
            (folder / name).write_bytes(data)


def base_python() -> str:
    """Return a Python that another user may run: root's own may be in a folder that others cannot enter."""
    own = Path(sys.base_prefix, "bin", f"python{sysconfig.get_python_version()}").resolve()
    if os.getuid() != 0 or all(folder.stat().st_mode & 0o001 for folder in own.parents):
        return str(own)
    system = shutil.which("python3", path="/usr/bin:/bin")
    assert system, "these tests run a server as `nobody`: a Python in /usr/bin is needed"
    return system


def unprivileged() -> list[str]:
    """Return the words before a command that make it run as `nobody` when the tests run as root."""
    if os.getuid() != 0:
        return []
    nobody = pwd.getpwnam("nobody")
    return ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]


def give(folder: Path) -> None:
    """Make `nobody` the owner of `folder` when the tests run as root."""
    if os.getuid() == 0:
        nobody = pwd.getpwnam("nobody")
        for path in (folder, *folder.rglob("*")):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)


def wait_until(check: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait until `check` returns true, at most `seconds`."""
    pause, until = threading.Event(), time.monotonic() + seconds
    while not check():
        assert time.monotonic() < until, what
        pause.wait(0.05)


@dataclass
class JupyterServers:
    """One virtual environment, and the servers started from it."""

    root: Path
    python: Path
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)
    logs: dict[str, Path] = field(default_factory=dict)

    def start(
        self,
        name: str,
        *,
        auth: dict[str, Any] | None = None,
        spec: dict[str, Any] | None = None,
        cull_interval: int = 300,
    ) -> Subject:
        """Start a server and return it as a subject. It may not answer yet: see `ready`.

        `spec`: values of config.json. `cull_interval`: seconds between looks at idle kernels.
        """
        home = self.root / name
        notebooks = home / "notebooks"
        notebooks.mkdir(parents=True)
        for profile, settings_of in KERNELS.items():
            folder = home / f".ipython/profile_{profile}"
            folder.mkdir(parents=True)
            (folder / "ipython_kernel_config.py").write_text(settings_of)
        fingerprint = certificate(home)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        hashed = {"hashed_password": password_hash(PASSWORD, salt=b"sixteen bytes!!!")}
        config = {
            **{"port": port, "profile": "nbserver", "password": None, "own_certificate": False},
            **{"cull_idle_timeout": 0, "kernel_prefix": []},
            **(spec or {}),
        }
        settings = jupyter_files.server(config, notebooks, home, home)
        # As on a machine: the kernel runs in the user's layer.
        kernel = home / "share/kernels/nbserver/kernel.json"
        kernel.parent.mkdir(parents=True)
        kernel.write_text(jupyter_files.kernel(config, home, self.python.parents[1]))
        settings["ServerApp"]["ip"] = "127.0.0.1"
        settings["MappingKernelManager"]["cull_interval"] = cull_interval
        settings["KernelSpecManager"] = {}  # allow all kernels
        settings |= {"PasswordIdentityProvider": hashed} if auth is None else auth
        (home / "jupyter_server_config.json").write_text(json.dumps(settings))
        for path, text in jupyter_settings.page().items():
            (home / path).parent.mkdir(exist_ok=True)
            (home / path).write_text(text)
        give(home)
        self.launch(name)
        self.logs[str(port)] = self.root / f"{name}.log"
        return Subject(
            address=Address(host="127.0.0.1", port=port),
            password=PASSWORD if auth is None else None,
            fingerprint=fingerprint,
            own_certificate=False,
            # This host may be a machine of a cloud, and has no firewall of ours.
            metadata=True,
            timeout_scale=0.25,
        )

    def launch(self, name: str) -> int:
        """Run the server whose folder already exists; return its pid."""
        home = self.root / name
        settings = {
            "HOME": str(home),
            "JUPYTER_CONFIG_DIR": str(home),
            "JUPYTER_PATH": str(home / "share"),
            "PYTHONPATH": str(self.root / "guest"),
            "MPLCONFIGDIR": str(self.root / "mpl"),
        }
        with open(self.root / f"{name}.log", "wb") as log:
            self.children.append(
                subprocess.Popen(
                    [*unprivileged(), str(self.python), "-m", "notebook"],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=process.environment(settings),
                    start_new_session=True,
                )
            )
        return self.children[-1].pid

    def ready(self, subject: Subject) -> Subject:
        """Wait until the server of `subject` accepts connections; return `subject`."""
        log = self.logs[str(subject.address.port)]

        def listens() -> bool:
            # The log line "is running at" is written before the port is open.
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", subject.address.port), 1),
            ):
                return True
            return False

        wait_until(listens, f"no server: {log}")
        return subject

    def stop(self) -> None:
        for child in self.children:
            child.send_signal(signal.SIGTERM)
        for child in self.children:
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                process.kill_session(child.pid)
                child.wait()


def run(subject: Subject, *checks: str) -> Report:
    """Probe `subject`; check that the report contains no secret."""
    now = datetime.datetime.now(datetime.UTC)
    report = probe_run.run(subject, started=now, steps=Steps(), checks=checks or None)
    for text in (report.to_json(), junit([report]).decode()):
        assert PASSWORD not in text
        assert TOKEN not in text
    return report


def failed(report: Report) -> dict[str, str]:
    """Return failed checks and their details, without checks that failed because they need another one."""
    return {result.name: result.detail for result in report.failed if not result.detail.startswith("needs ")}


def with_status(report: Report, status: str) -> set[str]:
    """Return the names of the checks with this status."""
    return {result.name for result in report.results if result.status == status}


@contextlib.contextmanager
def answering(talk: Callable[[socket.socket], None]) -> Iterator[Address]:
    """Run a TCP server on loopback that calls `talk` for each connection, until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        over = threading.Event()
        lines: list[socket.socket] = []

        def serve() -> None:
            while not over.is_set():
                with contextlib.suppress(OSError):
                    line, _ = server.accept()
                    lines.append(line)
                    threading.Thread(target=quietly, args=(line,), daemon=True).start()

        def quietly(line: socket.socket) -> None:
            with contextlib.suppress(OSError):
                talk(line)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        address = Address(host="127.0.0.1", port=server.getsockname()[1])
        try:
            yield address
        finally:
            over.set()
            with contextlib.suppress(OSError), socket.create_connection((address.host, address.port), 1):
                pass
            thread.join(5)
            for line in lines:
                line.close()
