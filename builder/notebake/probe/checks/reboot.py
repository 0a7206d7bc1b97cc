"""After a reboot the notebook is there again by itself: same certificate, and it plots."""

from __future__ import annotations

from contextlib import suppress

from notebake.errors import CommandFailed, NotebakeError, NotReady
from notebake.probe.checks import plot
from notebake.probe.context import REBOOT, RESTART, Context

_BOOT_ID = "/proc/sys/kernel/random/boot_id"


def run(context: Context) -> str:
    """What was seen after it. Raises CheckFailed, NotReady."""
    context.pin()
    before = context.output("cat", _BOOT_ID)
    # Its exit code says nothing: the connection may end before it.
    with suppress(CommandFailed):
        context.command("sudo", "-n", "systemctl", "reboot", "--no-block")
    context.forget()

    def rebooted() -> None:
        # A half-dead machine may hang a command: each has a short limit of its own.
        done = context.command("cat", _BOOT_ID, seconds=30)
        now = done.stdout.decode("ascii", "replace").strip()
        if done.returncode != 0 or now == before:
            raise NotReady("still the old boot" if now == before else "ssh does not answer")

    context.wait("the machine boots again", REBOOT, rebooted)
    context.wait_for_notebook(RESTART)
    if not context.subject.secrets or context.subject.pylab not in ("inline", "auto"):
        return "another boot, the notebook answers"
    try:
        return f"another boot, the notebook answers; {plot.run(context)}"
    except NotebakeError as error:
        raise type(error)(f"after the reboot: {error.message}", error.hint) from None
