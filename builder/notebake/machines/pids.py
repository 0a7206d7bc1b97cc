"""Processes known by pid and start time, so that a recycled pid is never taken for ours or killed."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Process:
    """`pid` with `started`: clock ticks since boot, field 22 of /proc/PID/stat (proc(5)).

    `boot` is the host's boot id: after a reboot another process may have both numbers. None for one that
    an older release recorded.
    """

    pid: int
    started: int
    boot: str | None = None

    def alive(self) -> bool:
        """Return whether just this process still runs; a zombie whose threads have all ended does not."""
        state, started, threads = _look(self.pid)
        if started != self.started or self.boot not in (None, _boot()):
            return False
        # A killed QEMU's first thread may end before the others, which still hold its sockets and disk.
        if state in "ZXx" and threads <= 1:
            # Started by this very process: it stays a zombie until someone asks for its exit code.
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, os.WNOHANG)
            return False
        return True

    def signal(self, number: int) -> None:
        """Send a signal to this process only, never to another that reuses its pid."""
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def wait(self, seconds: float) -> bool:
        """Wait for its end; return whether it ended within `seconds`."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        try:
            # Asked after the handle was opened: it is this process's, or nothing is waited for.
            if self.alive():
                ended = select.poll()
                ended.register(handle, select.POLLIN)
                ended.poll(seconds * 1000)
        finally:
            os.close(handle)
        return not self.alive()

    def kill(self, seconds: float = 10.0) -> bool:
        """Kill it and its process group (it leads one: `process.spawn`); return whether it ended."""
        if self.alive():
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                # No group of that number: it does not lead one, so only the process itself is ours.
                self.signal(signal.SIGKILL)
        return self.wait(seconds)


def identify(pid: int) -> Process | None:
    """Return the process with this pid, or None; a program that has just ended is still one."""
    _, started, _ = _look(pid)
    return None if started is None else Process(pid=pid, started=started, boot=_boot())


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _look(pid: int) -> tuple[str, int | None, int]:
    """(state letter, start time, number of threads) of a pid; ("", None, 0) when there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "", None, 0
    # The program's name (field 2) may hold spaces and brackets: count from the last bracket.
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[19]), int(fields[17])
