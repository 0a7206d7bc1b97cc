"""What a probe report must say of an image before the image is promoted."""

from __future__ import annotations

from datetime import datetime

from notebake.catalog.trust import SKEW
from notebake.errors import RecordError
from notebake.probe.checklist import CHECKS
from notebake.record.record import ProbeReport, Record

_HINT = "notebake launch --image IMAGE --name proof; notebake probe proof --json > probe.json"


def check_subject(probe: ProbeReport, record: Record, now: datetime) -> None:
    """Raise RecordError unless the report is on a machine from this image, later than its bake."""
    if probe.image is None:
        raise RecordError(
            f"the probe report on {probe.address} does not say which image the machine ran",
            f"{_HINT}; for a machine that notebake did not launch: notebake probe ADDRESS --image IMAGE",
        )
    if probe.image != record.image.sha256:
        raise RecordError(
            f"the probe report on {probe.address} is of another image: SHA-256 {probe.image[:12]}..., not "
            f"{record.image.sha256[:12]}...",
            _HINT,
        )
    if probe.started < record.created - SKEW:
        raise RecordError(
            f"the probe report is older than the image: of {probe.started:%Y-%m-%d %H:%M} UTC, "
            f"the image of {record.created:%Y-%m-%d %H:%M} UTC",
            _HINT,
        )
    if probe.started > now + SKEW:
        raise RecordError(
            f"the probe report is of {probe.started:%Y-%m-%d %H:%M} UTC, which is in the future",
            "one of the two clocks is wrong: set it and probe again",
        )


def problem(record: Record) -> str | None:
    """Return why the image of `record` must not be promoted, or None if its probe says all that is needed."""
    probe = record.probe
    if probe is None:
        return "it was never probed"
    failed = [result.name for result in probe.results if result.status == "failed"]
    if failed or not probe.passed:
        return f"its probe failed: {', '.join(failed) or 'it says so'}"
    if probe.image != record.image.sha256 or probe.started < record.created - SKEW:
        return "its probe was of another image"
    passed = {result.name for result in probe.results if result.status == "passed"}
    missing = [name for name in required(record) if name not in passed]
    return f"its probe is not complete: {', '.join(missing)} did not pass" if missing else None


def required(record: Record) -> list[str]:
    """Return the names of the checks that an image of this target must pass, by what it was made for.

    Windows machines are probed from outside.
    """
    machine = record.machine
    open_by_spec = {"metadata": machine.metadata, "plot": machine.pylab not in ("inline", "auto")}
    windows = record.software.system.id == "windows"
    return [
        check.name for check in CHECKS if not open_by_spec.get(check.name) and not (windows and check.inside)
    ]
