"""One check carried out: timed, shown, and turned into a result whatever happens."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from notebake.errors import NotebakeError
from notebake.probe.report import Result, clean
from notebake.progress import Steps


def words(error: Exception) -> str:
    """An exception in one text: ours with their hint, others with their type."""
    if isinstance(error, NotebakeError):
        return f"{error.message} ({error.hint})" if error.hint else error.message
    return f"{type(error).__name__}: {error}"


def attempt(name: str, title: str, run: Callable[[], str], *, steps: Steps, secrets: Iterable[str]) -> Result:
    """The result of `run`, which returns a detail or raises; its text is freed of `secrets`."""
    started = time.monotonic()
    try:
        with steps.step(f"{name}: {title}"):
            detail = run()
    except Exception as error:
        # Whatever a broken machine provokes is a failed check; a traceback would hide the other ones.
        detail = clean(words(error), secrets)
        steps.note(f"  {detail}")
        return Result(name=name, status="failed", seconds=time.monotonic() - started, detail=detail)
    return Result(name=name, status="passed", seconds=time.monotonic() - started, detail=clean(detail))
