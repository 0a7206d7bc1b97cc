"""After a reboot the notebook is there again by itself: same certificate, and it plots."""

from __future__ import annotations

from contextlib import suppress

from notebake.errors import CommandFailed, NotebakeError, NotReady
from notebake.probe.checks import plot
from notebake.probe.visit import REBOOT, RESTART, Visit

_BOOT_ID = "/proc/sys/kernel/random/boot_id"


def run(visit: Visit) -> str:
    """What was seen after it. Raises CheckFailed, NotReady."""
    visit.pin()
    before = visit.output("cat", _BOOT_ID)
    # Its exit code says nothing: the connection may end before it.
    with suppress(CommandFailed):
        visit.command("sudo", "-n", "systemctl", "reboot", "--no-block")
    visit.forget()

    def rebooted() -> None:
        # A half-dead machine may hang a command: each has a short limit of its own.
        done = visit.command("cat", _BOOT_ID, seconds=30)
        now = done.stdout.decode("ascii", "replace").strip()
        if done.returncode != 0 or now == before:
            raise NotReady("still the old boot" if now == before else "ssh does not answer")

    visit.wait("the machine boots again", REBOOT, rebooted)
    visit.wait_for_notebook(RESTART)
    if not visit.subject.secrets or visit.subject.pylab not in ("inline", "auto"):
        return "another boot, the notebook answers"
    try:
        return f"another boot, the notebook answers; {plot.run(visit)}"
    except NotebakeError as error:
        raise type(error)(f"after the reboot: {error.message}", error.hint) from None
