"""The probe's checks from inside a machine: a closed port, a service that comes back."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import pytest
from tests.integration.jupyter_servers import (
    JupyterServers,
    answering,
    certificate,
    failed,
    give,
    run,
    states,
)

from notebake import process
from notebake.address import Address
from notebake.errors import CommandFailed
from notebake.probe.report import Report
from notebake.probe.subject import Canary, Subject


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


def test_a_port_that_answers_is_red() -> None:
    report = canary_result(None, ThisMachine())
    assert "can be reached from outside" in failed(report)["port_closed"]


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
        report = canary_result(silent, ThisMachine(starts=False), timeout_scale=0.05)
    assert "no response on loopback in the machine" in failed(report)["port_closed"]


@dataclass
class Supervised(ThisMachine):
    """The inside of a machine whose service is one of the jupyter's servers, and of its supervisor's faults."""

    jupyter: JupyterServers = field(kw_only=True)
    fault: str = ""
    boots: int = 1

    def _again(self) -> None:
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
def mortal(jupyter: JupyterServers) -> Iterator[Subject]:
    """A server of its own that may die; always the jupyter's last."""
    subject = jupyter.ready(jupyter.start("mortal"))
    yield subject
    process.kill_session(jupyter.children[-1].pid)
    shutil.rmtree(jupyter.root / "mortal")


def test_a_service_that_comes_back_is_green(mortal: Subject, jupyter: JupyterServers) -> None:
    report = run(replace(mortal, inside=Supervised(jupyter=jupyter)), "login", "plot", "kill", "reboot")
    assert states(report, "passed") == {"login", "plot", "kill", "reboot"}, failed(report)
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
def test_a_service_that_does_not(
    mortal: Subject, jupyter: JupyterServers, check: str, fault: str, words: str
) -> None:
    # The limits of a restart and of a reboot are 240 s and 600 s.
    timeout_scale = {"certificate": 0.1}.get(fault, 0.01)
    broken = replace(mortal, inside=Supervised(jupyter=jupyter, fault=fault), timeout_scale=timeout_scale)
    assert words in failed(run(broken, check))[check]
