"""The probe's checks from inside a machine: a closed port, a service that comes back."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from pathlib import Path

import pytest
from tests.integration.jupyter_servers import (
    JupyterServers,
    answering,
    certificate,
    failed,
    give,
    run,
    with_status,
)

from notebake import process
from notebake.address import Address
from notebake.errors import CommandFailed
from notebake.probe.report import Report
from notebake.probe.subject import Canary, Subject


@dataclass
class ThisMachine:
    """The inside of a machine without systemd: systemd-run starts its command directly."""

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


def canary_result(outside: Address | None, inside: ThisMachine, timeout_scale: float = 0.2) -> Report:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    canary = Canary(port=port, address=outside or Address(host="127.0.0.1", port=port))
    subject = Subject(
        address=Address(host="127.0.0.1", port=1), inside=inside, canary=canary, timeout_scale=timeout_scale
    )
    report = run(subject, "port_closed")
    assert not inside.started, "the listener is stopped again"
    return report


def test_an_open_port_fails() -> None:
    report = canary_result(None, ThisMachine())
    assert "can be reached from outside" in failed(report)["port_closed"]


def test_a_closed_port_passes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        refused = Address(host="127.0.0.1", port=free.getsockname()[1])
    assert canary_result(refused, ThisMachine()).passed
    # QEMU's port forwarding accepts the connection and sends nothing.
    with answering(lambda line: None) as silent:
        assert canary_result(silent, ThisMachine()).passed
    with answering(lambda line: line.close()) as hangs_up:
        assert canary_result(hangs_up, ThisMachine()).passed


def test_a_closed_port_fails_if_nothing_listens_inside() -> None:
    with answering(lambda line: None) as silent:
        report = canary_result(silent, ThisMachine(starts=False), timeout_scale=0.05)
    assert "no response on loopback in the machine" in failed(report)["port_closed"]


@dataclass
class Supervised(ThisMachine):
    """The inside of a machine whose service is a test server, with faults of its supervisor."""

    jupyter: JupyterServers = field(kw_only=True)
    fault: str = ""
    boots: int = 1

    def _restart(self) -> None:
        child = self.jupyter.children[-1]
        process.kill_session(child.pid)
        child.wait()
        if self.fault == "certificate":
            certificate(self.jupyter.root / "mortal")
            give(self.jupyter.root / "mortal")
        if self.fault != "stays away":
            self.jupyter.launch("mortal")

    def run(self, argv: Sequence[str], timeout: float) -> process.Completed:
        words, text = list(argv), ""
        if words[:2] == ["systemctl", "show"]:
            child = self.jupyter.children[-1]
            text = "0" if child.poll() is not None else str(child.pid)
        elif words[:6] == ["sudo", "-n", "systemctl", "kill", "-s", "SIGKILL"]:
            if self.fault != "is not killed":
                self._restart()
        elif words[:4] == ["sudo", "-n", "systemctl", "reboot"]:
            if self.fault != "does not reboot":
                self._restart()
                self.boots += 1
            # ssh's exit code when the connection breaks.
            return process.Completed(argv=tuple(argv), returncode=255, stdout=b"")
        elif words[0] == "cat":
            text = f"boot-{self.boots}"
        return process.Completed(argv=tuple(argv), returncode=0, stdout=text.encode())


@pytest.fixture
def mortal(jupyter: JupyterServers) -> Iterator[Subject]:
    """A server for tests that kill it. It is always the last child of `jupyter`."""
    subject = jupyter.ready(jupyter.start("mortal"))
    yield subject
    process.kill_session(jupyter.children[-1].pid)
    shutil.rmtree(jupyter.root / "mortal")


def test_a_service_that_is_restarted_passes(mortal: Subject, jupyter: JupyterServers) -> None:
    report = run(replace(mortal, inside=Supervised(jupyter=jupyter)), "login", "plot", "kill", "reboot")
    assert with_status(report, "passed") == {"login", "plot", "kill", "reboot"}, failed(report)
    assert "PNG of" in report.results[-1].detail


@pytest.mark.parametrize(
    ("check", "fault", "words"),
    [
        ("kill", "stays away", "runs again: not within"),
        ("kill", "is not killed", "runs again: not within"),
        ("kill", "certificate", "another certificate than the pinned one"),
        ("reboot", "stays away", "the notebook server responds again: not within"),
        ("reboot", "does not reboot", "not rebooted yet"),
        ("reboot", "certificate", "another certificate than the pinned one"),
    ],
)
def test_a_service_that_is_not_restarted_fails(
    mortal: Subject, jupyter: JupyterServers, check: str, fault: str, words: str
) -> None:
    # The limits of a restart and of a reboot are 240 s and 600 s.
    timeout_scale = {"certificate": 0.1}.get(fault, 0.01)
    broken = replace(mortal, inside=Supervised(jupyter=jupyter, fault=fault), timeout_scale=timeout_scale)
    assert words in failed(run(broken, check))[check]


@dataclass
class ThisApt:
    """The inside of a machine whose apt is this one's, with its sources and state below `root`."""

    root: Path

    def run(self, argv: Sequence[str], timeout: float) -> process.Completed:
        words = list(argv)[2:] if list(argv[:2]) == ["sudo", "-n"] else list(argv)
        return process.run(
            words, timeout=timeout, check=False, env={"APT_CONFIG": str(self.root / "apt.conf")}
        )


@pytest.fixture
def apt(tmp_path: Path) -> Callable[..., Subject]:
    """Makes a machine with an archive that has the suites `served`, whose apt knows the suites `known`."""

    def make(served: Sequence[str], known: Sequence[str]) -> Subject:
        for suite in served:
            packages = tmp_path / f"archive/dists/{suite}/main/binary-amd64/Packages"
            packages.parent.mkdir(parents=True)
            packages.write_text("")
            digest = hashlib.sha256(b"").hexdigest()
            (packages.parents[2] / "Release").write_text(
                f"Suite: {suite}\nCodename: {suite}\nComponents: main\nArchitectures: amd64\n"
                f"Date: {formatdate(usegmt=True)}\nSHA256:\n {digest} 0 main/binary-amd64/Packages\n"
            )
        etc = tmp_path / "etc"
        (etc / "apt.conf.d").mkdir(parents=True)
        lines = (f"deb [arch=amd64 trusted=yes] file:{tmp_path}/archive {suite} main\n" for suite in known)
        (etc / "sources.list").write_text("".join(lines))
        for folder in ("state/lists/partial", "cache/archives/partial"):
            (tmp_path / folder).mkdir(parents=True)
        (tmp_path / "apt.conf").write_text(
            f'Dir::Etc "{etc}"; Dir::Etc::trusted "/etc/apt/trusted.gpg"; Dir::State "{tmp_path}/state";'
            f'Dir::Cache "{tmp_path}/cache"; APT::Sandbox::User "root"; APT::Architectures {{"amd64"}};'
        )
        return Subject(address=Address(host="127.0.0.1", port=1), inside=ThisApt(tmp_path))

    return make


ARCHIVE = ("trixie", "trixie-updates", "trixie-security")


def test_a_machine_that_can_have_security_updates_is_green(apt: Callable[..., Subject]) -> None:
    report = run(apt(ARCHIVE, ARCHIVE), "updates")
    assert report.passed, failed(report)
    assert report.results[0].detail == "apt refreshes trixie, trixie-updates, trixie-security"


@pytest.mark.parametrize(
    ("served", "known", "words"),
    [
        (ARCHIVE, ARCHIVE[:2], "no source of security updates: apt has trixie, trixie-updates"),
        (ARCHIVE, (), "no source of security updates: apt has no source"),
        (ARCHIVE[:2], ARCHIVE, "archive/dists/trixie-security"),
    ],
)
def test_a_machine_that_cannot(
    apt: Callable[..., Subject], served: Sequence[str], known: Sequence[str], words: str
) -> None:
    assert words in failed(run(apt(served, known), "updates"))["updates"]


def test_without_a_network_nobody_asks_for_updates(apt: Callable[..., Subject]) -> None:
    report = run(replace(apt((), ARCHIVE), offline=True), "updates")
    assert with_status(report, "skipped") == {"updates"}


def test_another_programs_lock_is_waited_for(apt: Callable[..., Subject], tmp_path: Path) -> None:
    subject = replace(apt(ARCHIVE, ARCHIVE), timeout_scale=0.02)
    with open(tmp_path / "state/lists/lock", "w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        words = failed(run(subject, "updates"))["updates"]
    assert "another program has its lock" in words
    assert run(subject, "updates").passed
