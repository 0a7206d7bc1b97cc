"""Run one check: time it, show it, and turn its outcome into a result."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from notebake.errors import NotebakeError
from notebake.probe.report import Result, clean
from notebake.progress import Steps


def words(error: Exception) -> str:
    """Return an exception as text: message and hint of a NotebakeError, type and message of any other."""
    if isinstance(error, NotebakeError):
        return f"{error.message} ({error.hint})" if error.hint else error.message
    return f"{type(error).__name__}: {error}"


def attempt(name: str, title: str, run: Callable[[], str], *, steps: Steps, secrets: Iterable[str]) -> Result:
    """Run a check, which returns a detail or raises. Return its result, with `secrets` masked."""
    started = time.monotonic()
    try:
        with steps.step(f"{name}: {title}"):
            detail = run()
    except Exception as error:
        # Any error that a broken machine causes is a failed check; a traceback would hide the other results.
        detail = clean(words(error), secrets)
        steps.note(f"  {detail}")
        return Result(name=name, status="failed", seconds=time.monotonic() - started, detail=detail)
    return Result(name=name, status="passed", seconds=time.monotonic() - started, detail=clean(detail))
