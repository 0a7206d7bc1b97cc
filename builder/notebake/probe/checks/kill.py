"""Check that the service restarts automatically after a SIGKILL, with the same certificate."""

from __future__ import annotations

from notebake.errors import CheckFailed, NotReady
from notebake.probe.context import RESTART, Context


def _main_pid(context: Context) -> int:
    text = context.output("systemctl", "show", "--property=MainPID", "--value", context.subject.service)
    return int(text) if text.isdigit() else 0


def run(context: Context) -> str:
    """Return the old and the new process id. Raises CheckFailed, NotReady."""
    context.pin()
    service = context.subject.service
    before = _main_pid(context)
    if before == 0:
        raise CheckFailed(f"{service} is not running")
    context.output("sudo", "-n", "systemctl", "kill", "-s", "SIGKILL", service)
    context.forget()

    def restarted() -> int:
        pid = _main_pid(context)
        if pid in (0, before):
            raise NotReady(f"MainPID is {pid}")
        return pid

    after = context.wait(f"{service} runs again", RESTART, restarted)
    context.wait_for_notebook(RESTART)
    return f"process {before} was killed, {after} responds"
