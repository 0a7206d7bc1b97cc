"""No update waits for a reboot of the machine or a restart of the server."""

from __future__ import annotations

from notebake import process
from notebake.errors import CheckFailed, CommandFailed
from notebake.probe.context import Context
from notebake.probe.subject import Inside

# Prints what it waits for; the machine runs it too, after updates.
_NOTICE = ("sudo", "-n", "sh", "/opt/notebake/guest/notice.sh")
_PREFIX = "notebake: restart needed: "
_SECONDS = 60.0


def needed(inside: Inside, seconds: float) -> str | None:
    """Return what an update waits for on the machine, or None. Raises CommandFailed without an answer."""
    done = inside.run(_NOTICE, seconds)
    text = done.stdout.decode("utf-8", "replace").strip()
    if done.returncode != 0 or (text and not text.startswith(_PREFIX)):
        raise CommandFailed(f"notice.sh: exit code {done.returncode}\n{process.tail(done.stdout, 3)}")
    return text.removeprefix(_PREFIX) or None


def run(context: Context) -> str:
    """Return that nothing waits. Raises CheckFailed."""
    reason = needed(context.inside(), context.seconds(_SECONDS))
    if reason:
        raise CheckFailed(f"restart needed: {reason}", "when no kernel is busy: notebake restart NAME")
    return "no update waits for a restart"
