"""Debian 13 with its own kernel and boot loader (QEMU): both deliveries, the browser, a real power cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import tenacity
from tests.e2e.conftest import PASSWORD

from notebake import launch, process
from notebake.errors import CheckFailed
from notebake.machines import console, lifecycle, pids, qemu, wait
from notebake.machines import machine as record
from notebake.machines.machine import Machine
from notebake.plan.plan import Plan
from notebake.probe import browser, launched, run
from notebake.probe.context import Context
from notebake.probe.kernel import Kernel
from notebake.probe.report import Report
from notebake.progress import Steps


def test_the_golden_image_passes_the_probe_and_a_person_can_plot(
    start: Callable[..., Machine], look: Callable[..., Report], steps: Steps, tmp_path: Path
) -> None:
    machine = start("qemu", golden=True)
    subject = launched.subject(
        machine.name, password=PASSWORD, token=None, fingerprint=None, profile=None, patience=3.0, ask=str
    )
    seen = browser.visit(subject, screenshots=tmp_path / "pictures", timeout_s=900, steps=steps)
    assert [(item.name, item.status) for item in seen] == [(name, "passed") for name in browser.NAMES]
    report = look(machine)
    assert report.passed, report.to_json()
    assert {item.status for item in report.results} == {"passed"}, report.to_json()


def test_user_data_alone_in_one_gib_survives_a_power_cut(
    the_plan: Plan,
    steps: Steps,
    tmp_path: Path,
    look: Callable[..., Report],
    inside: Callable[..., str],
) -> None:
    """QEMU is killed while the environment is being built: what the guest had not synced is lost."""

    class CutError(Exception):
        pass

    class Cutting(wait.Watch):
        def on_console(self, text: str) -> None:
            if "notebake: setup environment" in text:
                self.up = True  # the machine is kept
                raise CutError

    settings = {"platform": "qemu", "memory_mib": 1024, "limit": 1200.0}
    source = launch.from_plan(the_plan, "qemu", tmp_path, steps)
    with pytest.raises(CutError):
        launch.launch_machine(source, name="cut", steps=steps, settings=settings, watch=Cutting)
    machine = record.load("cut")
    argv = Path(f"/proc/{machine.process.pid}/cmdline").read_text().rstrip("\0").split("\0")
    assert machine.process.kill()
    machine.console.unlink()
    running = pids.identify(process.spawn(argv, log=tmp_path / "qemu.log"))
    assert running is not None
    machine = record.save(replace(machine, process=running))
    try:
        machine = wait.Watch(machine, steps=steps, limit=1200).run()
        # Without what takes minutes here; test_faults waits for cloud-init's end after a power cut.
        report = look(machine, *(name for name in run.NAMES if name not in ("kill", "reboot", "cloud_init")))
        assert report.passed, report.to_json()
        memory = dict(line.split(":") for line in inside(machine, "cat", "/proc/meminfo").splitlines())
        assert int(memory["MemTotal"].split()[0]) < 1024 * 1024
        assert memory["SwapTotal"].split()[0] == "0"
        assert "Out of memory" not in inside(machine, "dmesg")
        a_greedy_kernel_ends_alone(machine)
    finally:
        lifecycle.stop("cut")


def a_greedy_kernel_ends_alone(machine: Machine) -> None:
    """One kernel is killed for memory; another one still has its variable, and the server goes on."""
    subject = launched.subject(
        machine.name, password=PASSWORD, token=None, fingerprint=None, profile=None, patience=3.0, ask=str
    )
    session = Context(subject=subject, now=datetime.now(UTC)).session()
    innocent, greedy = (Kernel.start(session, "nbserver", seconds=600) for _ in range(2))
    assert innocent.execute("kept = 42", seconds=600).error is None
    with pytest.raises(CheckFailed, match="the kernel died"):
        greedy.execute("eaten = [bytearray(b'x') * 100_000_000 for _ in range(20)]", seconds=600)
    assert innocent.execute("print(kept)", seconds=600).text == "42\n"


def test_a_machine_that_learns_the_date_late_makes_another_certificate(
    start: Callable[..., Machine],
    look: Callable[..., Report],
    inside: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The clock begins in 1970; systemd takes the latest time that the image knows instead, when it was baked."""
    arguments = qemu.arguments

    def in_1970(*given: Any, **named: Any) -> list[str]:
        return [*arguments(*given, **named), "-rtc", "base=1970-01-01T00:00:00"]

    monkeypatch.setattr(qemu, "arguments", in_1970)
    machine = start("qemu", golden=True)
    now = datetime.now(UTC)
    begun = datetime.fromisoformat(inside(machine, "date", "--utc", "--iso-8601=seconds").strip())
    assert begun.year > 1970 and begun < now, begun
    inside(machine, "date", "--set", (now + timedelta(days=730)).isoformat())

    @tenacity.retry(wait=tenacity.wait_fixed(1), stop=tenacity.stop_after_delay(120), reraise=True)
    def renewed() -> str:
        served, _ = wait.answer(machine.address)
        assert served != machine.fingerprint
        return served

    assert renewed() == console.fingerprint(console.read(machine.console))
