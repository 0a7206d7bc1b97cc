"""Debian 13 with its own kernel and boot loader (QEMU): golden image, user-data only, browser, power cut."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import tenacity
from tests.e2e.conftest import SPEC, subject_of

from notebake import launch
from notebake.errors import CheckFailed
from notebake.machines import console, lifecycle, qemu, wait
from notebake.machines import machine as record
from notebake.machines.machine import Machine
from notebake.plan import plan, spec, targets
from notebake.probe import browser, run
from notebake.probe.context import Context
from notebake.probe.kernel import Kernel
from notebake.probe.report import Report
from notebake.progress import Steps


def test_the_golden_image_passes_the_probe_and_plots_in_a_browser(
    start: Callable[..., Machine], look: Callable[..., Report], steps: Steps, tmp_path: Path
) -> None:
    machine = start("qemu", golden=True)
    subject = subject_of(machine)
    results = browser.visit(subject, screenshots=tmp_path / "pictures", timeout_s=900, steps=steps)
    statuses = [(result.name, result.status) for result in results]
    assert statuses == [(name, "passed") for name in browser.NAMES]
    report = look(machine)
    assert report.passed, report.to_json()
    assert {result.status for result in report.results} == {"passed"}, report.to_json()


def test_user_data_only_in_1_gib_survives_a_power_cut(
    base_disk: Path,
    steps: Steps,
    tmp_path: Path,
    look: Callable[..., Report],
    inside: Callable[..., str],
) -> None:
    """QEMU is killed while the environment is being made: data that was not synced is lost.

    The base image is the user's own, a file.
    """

    class CutError(Exception):
        pass

    class Cutting(wait.Watch):
        def on_console(self, text: str) -> None:
            if "notebake: setup environment" in text:
                self.up = True  # the machine is kept
                raise CutError

    settings = {"platform": "qemu", "memory_mib": 1024, "limit": 1200.0}
    own = spec.parse(f'{SPEC}[base.debian-13]\nfile = "{base_disk}"\n', source="spec")
    its_plan = plan.make(own, targets.get("debian-13"), tmp_path, now=datetime.now(UTC))
    source = launch.from_plan(its_plan, "qemu", tmp_path, steps)
    with pytest.raises(CutError):
        launch.launch_machine(source, name="cut", steps=steps, settings=settings, watch=Cutting)
    machine = record.load("cut")
    assert machine.process and machine.process.kill()
    try:
        machine = lifecycle.start("cut", steps=steps, limit=1200)
        # Not the checks that take minutes here; test_faults has cloud_init after a power cut.
        report = look(machine, *(name for name in run.NAMES if name not in ("kill", "reboot", "cloud_init")))
        assert report.passed, report.to_json()
        memory = dict(line.split(":") for line in inside(machine, "cat", "/proc/meminfo").splitlines())
        assert int(memory["MemTotal"].split()[0]) < 1024 * 1024
        assert memory["SwapTotal"].split()[0] == "0"
        assert "Out of memory" not in inside(machine, "dmesg")
        check_out_of_memory(machine)
    finally:
        lifecycle.delete("cut")


def check_out_of_memory(machine: Machine) -> None:
    """Check that a kernel which is killed for memory affects neither other kernels nor the server."""
    subject = subject_of(machine)
    session = Context(subject=subject, now=datetime.now(UTC)).session()
    small, large = (Kernel.start(session, "nbserver", seconds=600) for _ in range(2))
    assert small.execute("kept = 42", seconds=600).error is None
    with pytest.raises(CheckFailed, match="the kernel died"):
        large.execute("eaten = [bytearray(b'x') * 100_000_000 for _ in range(20)]", seconds=600)
    assert small.execute("print(kept)", seconds=600).text == "42\n"


def test_a_clock_that_is_set_late_renews_the_certificate(
    start: Callable[..., Machine],
    look: Callable[..., Report],
    inside: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The clock starts in 1970; systemd sets it to the newest time in the image, that of the bake."""
    arguments = qemu.arguments

    def in_1970(*given: Any, **named: Any) -> list[str]:
        return [*arguments(*given, **named), "-rtc", "base=1970-01-01T00:00:00"]

    monkeypatch.setattr(qemu, "arguments", in_1970)
    machine = start("qemu", golden=True)
    now = datetime.now(UTC)
    clock = datetime.fromisoformat(inside(machine, "date", "--utc", "--iso-8601=seconds").strip())
    assert clock.year > 1970 and clock < now, clock
    inside(machine, "date", "--set", (now + timedelta(days=730)).isoformat())

    @tenacity.retry(wait=tenacity.wait_fixed(1), stop=tenacity.stop_after_delay(120), reraise=True)
    def renewed() -> str:
        served, _ = wait.answer(machine.address)
        assert served != machine.fingerprint
        return served

    assert renewed() == console.fingerprint(console.read(machine.console))
