"""Run the probe: check from outside, and with ssh access from inside, that a machine serves notebooks."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from notebake.errors import SpecError
from notebake.probe.attempt import attempt
from notebake.probe.checklist import CHECKS, Check
from notebake.probe.context import Context
from notebake.probe.report import Report, Result
from notebake.probe.subject import Subject
from notebake.progress import Steps

NAMES: tuple[str, ...] = tuple(check.name for check in CHECKS)


def _chosen(checks: Collection[str] | None) -> list[Check]:
    if checks is None:
        return list(CHECKS)
    unknown = sorted(set(checks) - set(NAMES))
    if unknown or not checks:
        raise SpecError(
            f"no such check: {', '.join(unknown)}" if unknown else "no check was selected",
            f"the checks are: {', '.join(NAMES)}",
        )
    return [check for check in CHECKS if check.name in checks]


def _one(check: Check, context: Context, steps: Steps) -> Result:
    reason = check.unless(context.subject)
    if reason is not None:
        steps.note(f"- {check.name} skipped: {reason}")
        return Result(name=check.name, status="skipped", detail=reason)
    return attempt(
        check.name,
        check.title,
        lambda: check.run(context),
        steps=steps,
        secrets=context.subject.secrets,
    )


def run(
    subject: Subject, *, started: datetime, steps: Steps, checks: Collection[str] | None = None
) -> Report:
    """Run the checks named in `checks` (None: all) in the order of CHECKS. Return the report.

    `started` is the current time (timezone-aware), for the report and for the dates of certificates. A
    failed check is a result, not an exception. A check that requires a failed one fails with `needs NAME`.
    `kill` and `reboot` kill the service and reboot the machine. Raises SpecError for an unknown name.
    """
    chosen, context = _chosen(checks), Context(subject=subject, now=started)
    try:
        results = tuple(_one(check, context, steps) for check in chosen)
    finally:
        context.leave()
    return Report(address=subject.address.url, image=subject.image, started=started, results=results)
