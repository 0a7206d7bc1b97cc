"""Check that cloud-init finished. Exit code 1 means that a part of the setup failed, 2 means warnings."""

from __future__ import annotations

from notebake import documents
from notebake.errors import CheckFailed
from notebake.probe.context import Context

_SECONDS = 120


def run(context: Context) -> str:
    """Return its status. Raises CheckFailed with the first error, CommandFailed if it does not finish."""
    done = context.command("cloud-init", "status", "--wait", "--format", "json", seconds=_SECONDS)
    if done.returncode == 127:
        return "cloud-init is not installed"
    text = done.stdout.decode("utf-8", "replace")
    try:
        # --wait prints a row of dots first.
        status = documents.parse_json(text[text.index("{") :].encode())
    except ValueError:
        raise CheckFailed(f"cloud-init status: exit code {done.returncode}, no JSON output") from None
    if done.returncode not in (0, 2):
        errors = status.get("errors") or [status.get("detail", "unknown reason")]
        raise CheckFailed(f"cloud-init failed: {errors[0]}")
    warnings = [line for lines in (status.get("recoverable_errors") or {}).values() for line in lines]
    if done.returncode == 2:
        return f"done, with warnings: {warnings[0] if warnings else 'unknown'}"
    return "done"
