"""cloud-init came to its end: with exit code 1 a part of the machine was not set up, 2 is warnings."""

from __future__ import annotations

import json

from notebake.errors import CheckFailed
from notebake.probe.context import Context

_SECONDS = 120


def run(context: Context) -> str:
    """How it ended; CheckFailed names the first error, or says that it does not end."""
    done = context.command("cloud-init", "status", "--wait", "--format", "json", seconds=_SECONDS)
    if done.returncode == 127:
        return "there is no cloud-init"
    text = done.stdout.decode("utf-8", "replace")
    try:
        # --wait draws a row of dots first.
        found = json.loads(text[text.index("{") :])
    except ValueError:
        raise CheckFailed(f"cloud-init status: exit code {done.returncode}, no answer") from None
    if done.returncode not in (0, 2):
        errors = found.get("errors") or [found.get("detail", "it does not say why")]
        raise CheckFailed(f"cloud-init failed: {errors[0]}")
    warnings = [line for lines in (found.get("recoverable_errors") or {}).values() for line in lines]
    if done.returncode == 2:
        return f"done, with warnings: {warnings[0] if warnings else 'it does not say which'}"
    return "done"
