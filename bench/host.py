"""The facts a figure is worth nothing without; no name and no path of the computer is among them."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from notebake import accelerator, process
from notebake.errors import NotebakeError


def facts() -> dict[str, str | int | float]:
    """Date (UTC), commit, cores, memory, QEMU and its accelerator, and the load before we add ours."""
    chosen = accelerator.choose("auto")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "commit": commit(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory),
        "qemu": ".".join(map(str, accelerator.qemu_version())),
        "accelerator": chosen.name,
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 1),
    }


def busy() -> bool:
    """Whether others are at work here: then two boots in a row are not the same measurement."""
    return os.getloadavg()[0] > 0.5 * len(os.sched_getaffinity(0))


def commit() -> str:
    """The checkout's commit, marked when files were changed since; `unknown` where there is no git."""
    root = Path(__file__).resolve().parent.parent
    try:
        head = process.run(["git", "-C", root, "rev-parse", "--short=12", "HEAD"], timeout=30).stdout
        # The results themselves are what a run changes.
        watched = ["--", ".", ":!bench/results.md", ":!bench/results.json"]
        changed = process.run(["git", "-C", root, "status", "--porcelain", *watched], timeout=30).stdout
    except NotebakeError:
        return "unknown"
    return head.decode().strip() + (" with changes" if changed.strip() else "")
