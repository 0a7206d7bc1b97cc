"""The probe against real Jupyter servers on loopback: all green on a good one, and for each thing
that can be broken, a server where just that is broken and just its check is red.
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import uv
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from notebake import probe, process
from notebake.auth import password_hash
from notebake.errors import CommandFailed
from notebake.probe import Address, Canary, Report, Subject, browser
from notebake.probe.visit import Visit
from notebake.progress import Steps

PASSWORD = "correct horse"
TOKEN = "0123456789abcdef0123456789abcdef"
DAY = datetime.timedelta(days=1)
OUTSIDE = ("tls", "fingerprint", "san", "login_refused", "login", "plot", "profile", "not_root")
# profile (which is the kernel's name), and the config file of that profile.
KERNELS = {
    "nbserver": "c.IPKernelApp.pylab = 'inline'\n",
    "nopylab": "",
    "default": "c.IPKernelApp.pylab = 'inline'\n",
}


def certificate(folder: Path, fault: str = "") -> str:
    """A pair in `folder`, good but for `fault`; returns the fingerprint."""
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey = ec.generate_private_key(ec.SECP256R1())
    if fault == "rsa":
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    now = datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nb")])
    address = x509.IPAddress(ipaddress.ip_address("192.0.2.1" if fault == "san" else "127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 100 * DAY)
        .not_valid_after(now + (-1 if fault == "expired" else 200) * DAY)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("nb.example"), address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=fault == "ca", path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return made.fingerprint(hashes.SHA256()).hex(":").upper()


def base_python() -> str:
    """A Python that another user may run: root's own may be in a folder that is closed to all others."""
    own = Path(sys.base_prefix, "bin", f"python{sysconfig.get_python_version()}").resolve()
    if os.getuid() != 0 or all(folder.stat().st_mode & 0o001 for folder in own.parents):
        return str(own)
    system = shutil.which("python3", path="/usr/bin:/bin")
    assert system, "these tests run a server as `nobody`: a Python in /usr/bin is needed"
    return system


def unprivileged() -> list[str]:
    """What is put before a command so that root's test servers do not run as root."""
    if os.getuid() != 0:
        return []
    nobody = pwd.getpwnam("nobody")
    return ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]


def give(folder: Path) -> None:
    if os.getuid() == 0:
        nobody = pwd.getpwnam("nobody")
        for path in (folder, *folder.rglob("*")):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)


def quick(check: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Until `check` is true, at most `seconds`."""
    pause, until = threading.Event(), time.monotonic() + seconds
    while not check():
        assert time.monotonic() < until, what
        pause.wait(0.05)


@dataclass
class Farm:
    """One virtual environment, and the servers started from it."""

    root: Path
    python: Path
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)
    logs: dict[str, Path] = field(default_factory=dict)

    def start(self, name: str, *, auth: dict[str, Any] | None = None) -> Subject:
        """Start a server; it may take a moment until it answers (`ready`)."""
        home = self.root / name
        notebooks = home / "notebooks"
        notebooks.mkdir(parents=True)
        for profile, settings_of in KERNELS.items():
            folder = home / f".ipython/profile_{profile}"
            folder.mkdir(parents=True)
            (folder / "ipython_kernel_config.py").write_text("c = get_config()\n" + settings_of)
        fingerprint = certificate(home)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        hashed = {"hashed_password": password_hash(PASSWORD, salt=b"sixteen bytes!!!")}
        config = {
            "ServerApp": {
                "ip": "127.0.0.1", "port": port, "port_retries": 0, "open_browser": False,
                "root_dir": str(notebooks),
                "certfile": str(home / "cert.pem"), "keyfile": str(home / "key.pem"),
                "jpserver_extensions": {"notebook": True, "jupyter_lsp": False},
            },
            "LabApp": {"news_url": None, "check_for_updates_class": "jupyterlab.NeverCheckForUpdate"},
            **({"PasswordIdentityProvider": hashed} if auth is None else auth),
        }  # fmt: skip
        (home / "jupyter_server_config.json").write_text(json.dumps(config))
        give(home)
        self.launch(name)
        self.logs[str(port)] = self.root / f"{name}.log"
        return Subject(
            address=Address(host="127.0.0.1", port=port),
            password=PASSWORD if auth is None else None,
            fingerprint=fingerprint,
            patience=0.25,
        )

    def launch(self, name: str) -> int:
        """Run the server whose home is there already; its pid."""
        home = self.root / name
        settings = {
            "HOME": str(home),
            "JUPYTER_CONFIG_DIR": str(home),
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
        log = self.logs[str(subject.address.port)]

        def listens() -> bool:
            # The log's "is running at" comes before the port is open.
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", subject.address.port), 1),
            ):
                return True
            return False

        quick(listens, f"no server: {log}")
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


@pytest.fixture(scope="session")
def farm() -> Iterator[Farm]:
    # Not pytest's own folder: that one is closed to other users.
    with tempfile.TemporaryDirectory(prefix="notebake-probe-", ignore_cleanup_errors=True) as name:
        root = Path(name)
        root.chmod(0o755)
        (root / "mpl").mkdir()
        env, tool = root / "env", uv.find_uv_bin()
        python = env / "bin/python"
        process.run([tool, "venv", "--quiet", "--no-project", "--python", base_python(), env], timeout=120)
        process.run(
            [tool, "pip", "install", "--quiet", "--compile-bytecode", "--python", python,
             "notebook", "ipykernel", "numpy", "matplotlib"],
            timeout=600,
        )  # fmt: skip
        process.run(
            [
                python,
                "-m",
                "ipykernel",
                "install",
                "--prefix",
                env,
                "--name",
                "nbserver",
                "--profile",
                "nbserver",
            ],
            timeout=60,
        )
        kernels = env / "share/jupyter/kernels"
        spec = json.loads((kernels / "nbserver/kernel.json").read_text())
        at = spec["argv"].index("--profile")
        for name, words in (("nopylab", ["--profile", "nopylab"]), ("plain", [])):
            (kernels / name).mkdir()
            other = spec | {"argv": spec["argv"][:at] + words + spec["argv"][at + 2 :], "display_name": name}
            (kernels / name / "kernel.json").write_text(json.dumps(other))
        # matplotlib's list of fonts, made once for all kernels.
        fonts = {"MPLCONFIGDIR": str(root / "mpl")}
        process.run([python, "-c", "import matplotlib.font_manager"], timeout=120, env=fonts)
        give(root / "mpl")
        made = Farm(root=root, python=python)
        try:
            yield made
        finally:
            made.stop()


@pytest.fixture(scope="session")
def servers(farm: Farm) -> dict[str, Subject]:
    """All servers, started together: most of the time they take is waiting."""
    off = {"IdentityProvider": {"token": ""}, "PasswordIdentityProvider": {"password_required": False}}
    started = {
        "good": farm.start("good"),
        "open": replace(farm.start("open", auth=off), password=PASSWORD),
        "token": replace(farm.start("token", auth={"IdentityProvider": {"token": TOKEN}}), token=TOKEN),
    }
    return {name: farm.ready(subject) for name, subject in started.items()}


@pytest.fixture(scope="session")
def good(servers: dict[str, Subject]) -> Subject:
    return servers["good"]


def run(subject: Subject, *checks: str) -> Report:
    now = datetime.datetime.now(datetime.UTC)
    report = probe.run(subject, started=now, steps=Steps(), checks=checks or None)
    for text in (report.to_json(), report.to_junit().decode()):
        assert PASSWORD not in text
        assert TOKEN not in text
    return report


def red(report: Report) -> dict[str, str]:
    """The checks that failed of themselves, with their detail; those that need another one are left out."""
    return {r.name: r.detail for r in report.failed if not r.detail.startswith("needs ")}


def states(report: Report, status: str) -> set[str]:
    return {result.name for result in report.results if result.status == status}


def test_a_good_server_is_all_green(good: Subject) -> None:
    report = run(good)
    assert report.passed, red(report)
    assert states(report, "passed") == set(OUTSIDE)
    assert states(report, "skipped") == {"cloud_init", "port_closed", "kill", "reboot"}


def test_a_token_lets_in_as_well(servers: dict[str, Subject]) -> None:
    report = run(servers["token"])
    assert states(report, "passed") == set(OUTSIDE), red(report)
    wrong = run(replace(servers["token"], token=TOKEN[::-1]), "login_refused", "login")
    assert red(wrong).keys() == {"login"}


def test_the_kernel_is_gone_afterwards(good: Subject) -> None:
    run(good, "plot")
    session = Visit(subject=good, now=datetime.datetime.now(datetime.UTC)).session()
    assert session.request("GET", "/api/kernels", seconds=10).json("kernels") == []


def test_wrong_fingerprint(good: Subject) -> None:
    report = run(replace(good, fingerprint="AB" * 32))
    assert red(report).keys() == {"fingerprint"}
    # Nothing is sent to a machine that is not the pinned one.
    assert states(report, "passed") == {"tls", "san"}


def test_no_fingerprint_and_nobody_who_vouches(good: Subject) -> None:
    report = run(replace(good, fingerprint=None))
    assert red(report).keys() == {"fingerprint"}
    assert good.fingerprint is not None
    assert good.fingerprint in report.failed[0].detail.replace(":", "").lower()


@pytest.mark.parametrize(
    ("fault", "check", "words"),
    [
        ("rsa", "tls", "RSA 2048, not EC P-256"),
        ("ca", "tls", "CA:TRUE"),
        ("expired", "tls", "expired on"),
        ("san", "san", "not in the certificate: 127.0.0.1; it names nb.example, 192.0.2.1"),
    ],
)
def test_bad_certificates(good: Subject, farm: Farm, fault: str, check: str, words: str) -> None:
    """Jupyter reads its certificate at every connection: the bad one lies in the good one's place."""
    home = farm.root / "good"
    kept = {name: (home / name).read_bytes() for name in ("key.pem", "cert.pem")}
    try:
        subject = replace(good, fingerprint=certificate(home, fault))
        report = run(subject, "tls", "fingerprint", "san", "login_refused", "login")
    finally:
        for name, data in kept.items():
            (home / name).write_bytes(data)
    faults = red(report)
    assert faults.keys() == {check}
    assert words in faults[check]
    assert len(states(report, "passed")) == 4


def test_expected_names(good: Subject) -> None:
    assert run(replace(good, names=("nb.example", "127.0.0.1")), "san").passed
    assert red(run(replace(good, names=("nb.example", "other.example")), "san")).keys() == {"san"}


def test_authentication_off(servers: dict[str, Subject]) -> None:
    report = run(servers["open"], "tls", "fingerprint", "san", "login_refused")
    assert red(report) == {"login_refused": "/api/contents without credentials: status 200, it must be 403"}


def test_wrong_password(good: Subject) -> None:
    report = run(replace(good, password="wrong horse"))
    assert red(report).keys() == {"login"}
    needs = {r.name for r in report.failed if r.detail.startswith("needs login: ")}
    assert needs == {"plot", "profile", "not_root"}


def test_pylab_not_set(good: Subject) -> None:
    """The profile is loaded and holds no pylab: no plot, and the setting is not what the spec says."""
    faults = red(run(replace(good, profile="nopylab"), *OUTSIDE))
    assert faults.keys() == {"plot", "profile"}
    assert "NameError: name 'plot' is not defined" in faults["plot"]
    assert "pylab is 'none'" in faults["profile"]
    # A spec that asks for no pylab gets its profile proven and no plot demanded.
    report = run(replace(good, profile="nopylab", pylab="none"), *OUTSIDE)
    assert report.passed
    assert states(report, "skipped") == {"plot"}


def test_kernel_with_the_default_profile(good: Subject) -> None:
    faults = red(run(replace(good, profile="plain"), *OUTSIDE))
    assert faults.keys() == {"profile"}
    assert "the profile is 'default', not 'plain'" in faults["profile"]


def test_no_such_kernel(good: Subject) -> None:
    report = run(replace(good, profile="missing"), *OUTSIDE)
    assert red(report).keys() == {"plot"}
    assert states(report, "failed") == {"plot", "profile", "not_root"}


@contextlib.contextmanager
def answering(talk: Callable[[socket.socket], None]) -> Iterator[Address]:
    """A TCP server on loopback that does `talk` with everybody, until the block ends."""
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


def drip(line: socket.socket) -> None:
    """The beginning of a TLS record, a byte at a time: every single read is answered in time."""
    pause = threading.Event()
    for byte in b"\x16\x03\x03\x40\x00" + bytes(1000):
        line.sendall(bytes([byte]))
        pause.wait(0.2)


@pytest.mark.parametrize("talk", [lambda line: None, drip], ids=["silent", "dripping"])
def test_a_machine_that_never_answers_does_not_hang(talk: Callable[[socket.socket], None]) -> None:
    with answering(talk) as address:
        subject = Subject(address=address, password=PASSWORD, fingerprint="ab" * 32, patience=0.1)
        started = time.monotonic()
        report = run(subject)
        assert time.monotonic() - started < 6, "one time limit of 2 s, and no more"
    assert red(report) == {"tls": f"{address}: no answer within 2 s"}


def test_nothing_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    report = run(Subject(address=Address(host="127.0.0.1", port=port), password=PASSWORD, patience=0.1))
    assert red(report).keys() == {"tls"}
    assert "refused" in red(report)["tls"].lower()


@dataclass
class ThisMachine:
    """The inside of a machine that has no systemd: its systemd-run starts the very command it is given."""

    started: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    starts: bool = True

    def run(self, argv: Sequence[str], timeout: float) -> process.Completed:
        words = list(argv)
        if words[:3] == ["sudo", "-n", "systemd-run"]:
            unit = next(word for word in words if word.startswith("--unit=")).removeprefix("--unit=")
            if self.starts:
                command = words[words.index("--") + 1 :]
                self.started[unit] = subprocess.Popen([sys.executable, *command[1:]])
            return process.Completed(argv=tuple(argv), returncode=0, stdout=b"")
        if words[:4] == ["sudo", "-n", "systemctl", "stop"]:
            child = self.started.pop(words[4], None)
            if child:
                child.kill()
                child.wait()
            return process.Completed(argv=tuple(argv), returncode=0, stdout=b"")
        if words[0] == "python3":
            return process.run([sys.executable, *words[1:]], timeout=timeout, check=False)
        raise CommandFailed(f"{words[0]}: not in this machine")


def canary_result(outside: Address | None, inside: ThisMachine, patience: float = 0.2) -> Report:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    canary = Canary(port=port, address=outside or Address(host="127.0.0.1", port=port))
    subject = Subject(
        address=Address(host="127.0.0.1", port=1), inside=inside, canary=canary, patience=patience
    )
    report = run(subject, "port_closed")
    assert not inside.started, "the listener is stopped again"
    return report


def test_a_port_that_answers_is_red() -> None:
    report = canary_result(None, ThisMachine())
    assert "can be reached from outside" in red(report)["port_closed"]


def test_a_closed_port_is_green() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        refused = Address(host="127.0.0.1", port=free.getsockname()[1])
    assert canary_result(refused, ThisMachine()).passed
    # QEMU's port forwarding: the connection is taken, and not one byte comes.
    with answering(lambda line: None) as silent:
        assert canary_result(silent, ThisMachine()).passed
    with answering(lambda line: line.close()) as hangs_up:
        assert canary_result(hangs_up, ThisMachine()).passed


def test_closed_is_not_believed_when_nothing_listens_inside() -> None:
    with answering(lambda line: None) as silent:
        report = canary_result(silent, ThisMachine(starts=False), patience=0.05)
    assert "nothing answers on loopback inside" in red(report)["port_closed"]


@dataclass
class Supervised(ThisMachine):
    """The inside of a machine whose service is one of the farm's servers, and of its supervisor's faults."""

    farm: Farm = field(kw_only=True)
    fault: str = ""
    boots: int = 1

    def _again(self) -> None:
        child = self.farm.children[-1]
        process.kill_session(child.pid)
        child.wait()
        if self.fault == "certificate":
            certificate(self.farm.root / "mortal")
            give(self.farm.root / "mortal")
        if self.fault != "stays away":
            self.farm.launch("mortal")

    def run(self, argv: Sequence[str], timeout: float) -> process.Completed:
        words, text = list(argv), ""
        if words[:2] == ["systemctl", "show"]:
            child = self.farm.children[-1]
            text = "0" if child.poll() is not None else str(child.pid)
        elif words[:6] == ["sudo", "-n", "systemctl", "kill", "-s", "SIGKILL"]:
            if self.fault != "is not killed":
                self._again()
        elif words[:4] == ["sudo", "-n", "systemctl", "reboot"]:
            if self.fault != "does not reboot":
                self._again()
                self.boots += 1
            # What ssh says when the machine goes away under it.
            return process.Completed(argv=tuple(argv), returncode=255, stdout=b"")
        elif words[0] == "cat":
            text = f"boot-{self.boots}"
        return process.Completed(argv=tuple(argv), returncode=0, stdout=text.encode())


@pytest.fixture
def mortal(farm: Farm) -> Iterator[Subject]:
    """A server of its own that may die; always the farm's last."""
    subject = farm.ready(farm.start("mortal"))
    yield subject
    process.kill_session(farm.children[-1].pid)
    shutil.rmtree(farm.root / "mortal")


def test_a_service_that_comes_back_is_green(mortal: Subject, farm: Farm) -> None:
    report = run(replace(mortal, inside=Supervised(farm=farm)), "login", "plot", "kill", "reboot")
    assert states(report, "passed") == {"login", "plot", "kill", "reboot"}, red(report)
    assert "PNG of" in report.results[-1].detail


@pytest.mark.parametrize(
    ("check", "fault", "words"),
    [
        ("kill", "stays away", "runs again: not within"),
        ("kill", "is not killed", "runs again: not within"),
        ("kill", "certificate", "another certificate than the pinned one"),
        ("reboot", "stays away", "the notebook answers again: not within"),
        ("reboot", "does not reboot", "still the old boot"),
        ("reboot", "certificate", "another certificate than the pinned one"),
    ],
)
def test_a_service_that_does_not(mortal: Subject, farm: Farm, check: str, fault: str, words: str) -> None:
    # The limits of a restart and of a reboot are 240 s and 600 s.
    patience = {"certificate": 0.1}.get(fault, 0.01)
    broken = replace(mortal, inside=Supervised(farm=farm, fault=fault), patience=patience)
    assert words in red(run(broken, check))[check]


def visit(subject: Subject, folder: Path, seconds: float = 60) -> dict[str, tuple[str, str]]:
    results = browser.visit(subject, screenshots=folder, timeout_s=seconds)
    assert [result.name for result in results] == list(browser.NAMES)
    assert not any(PASSWORD in result.detail for result in results)
    return {result.name: (result.status, result.detail) for result in results}


def test_browser(good: Subject, farm: Farm, tmp_path: Path) -> None:
    results = visit(good, tmp_path)
    assert {status for status, _ in results.values()} == {"passed"}, results
    for name in ("1-login", "2-dashboard", "3-notebook", "4-plot"):
        data = (tmp_path / f"{name}.png").read_bytes()
        assert data[16:24] == (1280).to_bytes(4, "big") + (800).to_bytes(4, "big")
    assert not list((farm.root / "good/notebooks").glob("*.ipynb")), "the machine is left as it was"


def test_browser_without_pylab(good: Subject, tmp_path: Path) -> None:
    results = visit(replace(good, profile="nopylab"), tmp_path)
    assert [status for status, _ in results.values()] == ["passed", "passed", "passed", "failed"]
    assert "NameError: name 'plot' is not defined" in results["browser_plot"][1]
    assert (tmp_path / "failed-browser_plot.png").exists()


def test_browser_with_a_wrong_password(good: Subject, tmp_path: Path) -> None:
    results = visit(replace(good, password="wrong horse"), tmp_path)
    assert results["browser_login"] == ("failed", "the login page refuses the password")
    assert results["browser_plot"] == ("failed", "needs browser_login")


def test_browser_takes_no_other_certificate(
    good: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the pin of another key, chromium itself refuses the page."""
    monkeypatch.setattr(browser, "public_key_pin", lambda der: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
    results = visit(good, tmp_path)
    assert "ERR_CERT" in results["browser_login"][1]
    assert visit(replace(good, fingerprint="ab" * 32), tmp_path)["browser_login"][1].startswith(
        "pinned AB:AB:"
    )
