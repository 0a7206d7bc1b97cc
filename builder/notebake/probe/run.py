"""The probe: proves from outside, and from inside where there is a way, that a machine serves a notebook."""

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
            f"no such check: {', '.join(unknown)}" if unknown else "no check was chosen",
            f"there are {', '.join(NAMES)}",
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
    """Run the checks named in `checks` (all when None) in the order of CHECKS.

    `started` is now, aware: the report's date, and what certificates are held against. A check that
    fails raises nothing: it is in the report. A check that needs another one which failed says
    `needs NAME`. `kill` and `reboot` do what they say to the machine. Raises SpecError for an unknown name.
    """
    chosen, context = _chosen(checks), Context(subject=subject, now=started)
    try:
        results = tuple(_one(check, context, steps) for check in chosen)
    finally:
        context.leave()
    return Report(address=subject.address.url, started=started, results=results)
