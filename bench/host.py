"""Facts about the host that a result needs to be comparable; no names and no paths."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from notebake import accelerator, process
from notebake.errors import NotebakeError


def facts() -> dict[str, str | int | float]:
    """Return date (UTC), commit, cores, memory, versions, accelerator, and the load before the benchmarks."""
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
    """Return whether the host is busy: then two boots in a row cannot be compared."""
    return os.getloadavg()[0] > 0.5 * len(os.sched_getaffinity(0))


def commit() -> str:
    """Return the checkout's commit, marked if files were changed since; `unknown` without git."""
    root = Path(__file__).resolve().parent.parent
    try:
        head = process.run(["git", "-C", root, "rev-parse", "--short=12", "HEAD"], timeout=30).stdout
        # A run changes the results: leave them out.
        compared = ["--", ".", ":!bench/results.md", ":!bench/results.json"]
        changed = process.run(["git", "-C", root, "status", "--porcelain", *compared], timeout=30).stdout
    except NotebakeError:
        return "unknown"
    return head.decode().strip() + (" with changes" if changed.strip() else "")
