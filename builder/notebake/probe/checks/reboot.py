"""Check that the notebook server starts after a reboot, with the same certificate, and shows plots."""

from __future__ import annotations

from contextlib import suppress

from notebake.errors import CommandFailed, NotebakeError, NotReady
from notebake.probe.checks import plot
from notebake.probe.context import REBOOT, RESTART, Context

_BOOT_ID = "/proc/sys/kernel/random/boot_id"


def run(context: Context) -> str:
    """Return what was checked after the reboot. Raises CheckFailed, NotReady."""
    context.pin()
    before = context.output("cat", _BOOT_ID)
    # The exit code is ignored: the connection may close first.
    with suppress(CommandFailed):
        context.command("sudo", "-n", "systemctl", "reboot", "--no-block")
    context.forget()

    def rebooted() -> None:
        # A short timeout for each command: it may hang while the machine shuts down.
        done = context.command("cat", _BOOT_ID, seconds=30)
        current = done.stdout.decode("ascii", "replace").strip()
        if done.returncode != 0 or current == before:
            raise NotReady("not rebooted yet" if current == before else "ssh does not respond")

    context.wait("the machine boots again", REBOOT, rebooted)
    context.wait_for_notebook(RESTART)
    if not context.subject.secrets or context.subject.pylab not in ("inline", "auto"):
        return "rebooted, the notebook server responds"
    try:
        return f"rebooted, the notebook server responds; {plot.run(context)}"
    except NotebakeError as error:
        raise type(error)(f"after the reboot: {error.message}", error.hint) from None
