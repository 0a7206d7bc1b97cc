"""Keep one nspawn machine running over its reboots; runs as a program of its own, beside notebake.

nspawn that was told to register nowhere does not start a rebooting machine again: it exits with 133
and leaves that to whoever started it. Run as `python -I supervisor.py [CGROUP ...] -- ARGV ...`, with
nothing but the standard library. SIGTERM is handed on and ends the machine for good.

The machine gets a control group of its own: nspawn works in that of its caller, and two machines of one
caller would end each other's services. The supervisor itself sits beside it, since a group that hands
out resources may hold no process (cgroups(7), "no internal processes").
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

_REBOOT = 133  # systemd-nspawn's EXIT_FORCE_RESTART


def _own() -> list[Path]:
    """Return the control group that the host's systemd made for us: we run in its scope."""
    lines = Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines()
    return [Path("/sys/fs/cgroup") / line[4:] for line in lines if line.startswith("0::/")]


def _enter(groups: list[Path], name: str) -> None:
    for group in groups:
        (group / name).mkdir(parents=True, exist_ok=True)
        (group / name / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")


def main(arguments: list[str]) -> int:
    """Run the machine until it ends other than by a reboot; return its exit code."""
    split = arguments.index("--")
    groups, argv = [Path(each) for each in arguments[:split]] or _own(), arguments[split + 1 :]
    child: subprocess.Popen[bytes] | None = None
    ending = False

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal ending
        ending = True
        if child is not None:
            child.send_signal(signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)
    _enter(groups, "supervisor")
    while True:
        # Blocked while it starts, or a SIGTERM just then would find no child to hand on to.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        child = subprocess.Popen(argv, preexec_fn=lambda: _begin(groups))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        code = child.wait()
        if code != _REBOOT or ending:
            return code


def _begin(groups: list[Path]) -> None:
    _enter(groups, "machine")
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
