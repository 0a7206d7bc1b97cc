"""After a SIGKILL the service comes back by itself, with the same certificate."""

from __future__ import annotations

from notebake.errors import CheckFailed, NotReady
from notebake.probe.visit import RESTART, Visit


def _main_pid(visit: Visit) -> int:
    text = visit.output("systemctl", "show", "--property=MainPID", "--value", visit.subject.service)
    return int(text) if text.isdigit() else 0


def run(visit: Visit) -> str:
    """The old and the new process id. Raises CheckFailed, NotReady."""
    visit.pin()
    service = visit.subject.service
    before = _main_pid(visit)
    if before == 0:
        raise CheckFailed(f"{service} does not run")
    visit.output("sudo", "-n", "systemctl", "kill", "-s", "SIGKILL", service)
    visit.forget()

    def restarted() -> int:
        pid = _main_pid(visit)
        if pid in (0, before):
            raise NotReady(f"MainPID is {pid}")
        return pid

    after = visit.wait(f"{service} runs again", RESTART, restarted)
    visit.wait_for_notebook(RESTART)
    return f"process {before} killed, {after} answers"
