"""The mark of this process, for what must not outlive it: later calls can tell whether its owner lives."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import socket
from pathlib import Path

FORM = r"[0-9]+-[0-9]+-[0-9a-f]{8}-[0-9a-f]{8}"


@functools.cache
def _here() -> tuple[str, str]:
    """Return digests of this boot, and of this host's processes: of the host and the pid namespace."""
    places = (Path("/proc/sys/kernel/random/boot_id"), Path("/etc/machine-id"))
    boot, machine = (place.read_bytes() if place.exists() else b"" for place in places)
    namespace = Path("/proc/self/ns/pid")
    space = str(namespace.readlink()) if namespace.is_symlink() else ""
    host = machine + f"{socket.gethostname()} {space}".encode()
    return hashlib.sha256(boot).hexdigest()[:8], hashlib.sha256(host).hexdigest()[:8]


def _started(pid: int) -> int:
    """Return when a process started, in clock ticks since boot (proc(5)); 0 if there is none, or no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in "ZX" else int(fields[19])


def mark() -> str:
    """Return the mark of this process: its pid, start, boot and host."""
    return "-".join((str(os.getpid()), str(_started(os.getpid())), *_here()))


def is_dead(mark: str) -> bool:
    """Return whether the process with this mark has ended; False for one on another host, which may run."""
    if not re.fullmatch(FORM, mark):  # cut off while it was written
        return True
    pid, started, boot, host = mark.split("-")
    if host != _here()[1]:
        return False
    return boot != _here()[0] or _started(int(pid)) != int(started)
