"""Evaluate expressions in the shared kernel without defining a name in its namespace."""

from __future__ import annotations

from typing import Any

from notebake import documents
from notebake.errors import CheckFailed
from notebake.probe.context import CELL, Context


def ask(context: Context, expression: str) -> Any:
    """Return the value of a Python expression in the kernel, passed as JSON. Raises CheckFailed, NotReady."""
    code = f"print(__import__('json').dumps({expression}))"
    outcome = context.kernel().execute(code, seconds=context.seconds(CELL))
    if outcome.error:
        raise CheckFailed("in the kernel: " + ": ".join(outcome.error))
    try:
        return documents.parse_json(outcome.text.encode())
    except ValueError:
        raise CheckFailed(f"in the kernel: unexpected output {outcome.text[:200]!r}") from None
