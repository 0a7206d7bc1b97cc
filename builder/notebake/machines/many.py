"""Do the same work on many machines at once; one that fails is named, and the others continue."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TypeVar

from notebake import terminal
from notebake.errors import CommandFailed, NotebakeError
from notebake.machines.wait import Watch
from notebake.progress import Steps

T = TypeVar("T")

IN_CLOUDS = 16  # machines at once that take nothing of this host


def at_once(memory_mib: int) -> int:
    """Return how many machines of this memory may boot at the same time: at least 2.

    One for each processor, as many as fit into the memory that is free.
    """
    meminfo = Path("/proc/meminfo").read_text(encoding="ascii")
    available = re.search(r"^MemAvailable: +([0-9]+) kB", meminfo, re.MULTILINE)
    fitting = int(available[1]) // 1024 // memory_mib if available else 0
    return max(2, min(len(os.sched_getaffinity(0)), fitting))


def each(
    names: Sequence[str],
    work: Callable[[str, Steps, type[Watch]], T],
    *,
    title: str,
    limit: int,
    steps: Steps,
) -> tuple[dict[str, T], dict[str, NotebakeError]]:
    """Do `work` for each machine, at most `limit` at once; return what it returned and the errors, by name.

    A line is shown for each that is done. One machine alone shows its own steps and raises its error. On
    Ctrl-C no further work is begun, and the `Watch` that `work` gets ends its wait with KeyboardInterrupt.
    """
    if len(names) == 1:
        return {names[0]: work(names[0], steps, Watch)}, {}
    interrupted = threading.Event()

    class Interruptible(Watch):
        def on_console(self, text: str) -> None:
            if interrupted.is_set():
                raise KeyboardInterrupt
            super().on_console(text)

    def timed(name: str) -> tuple[T, float]:
        begun = time.monotonic()
        return work(name, Steps(console=terminal.silent()), Interruptible), time.monotonic() - begun

    done: dict[str, T] = {}
    failed: dict[str, NotebakeError] = {}
    with steps.step(f"{title} {len(names)} machines"), ThreadPoolExecutor(limit) as pool:
        futures = {pool.submit(timed, name): name for name in names}
        try:
            for future in as_completed(futures):
                name = futures[future]
                try:
                    done[name], seconds = future.result()
                    outcome = f"{name} {seconds:.1f} s"
                except (NotebakeError, OSError) as error:
                    failed[name] = _named(name, error)
                    outcome = f"{name} failed: {failed[name].message.splitlines()[0]}"
                steps.note(f"{len(done) + len(failed)}/{len(names)} {outcome}")
        except BaseException:
            interrupted.set()
            pool.shutdown(cancel_futures=True)
            raise
    return {name: done[name] for name in names if name in done}, failed


def _named(name: str, error: NotebakeError | OSError) -> NotebakeError:
    if isinstance(error, NotebakeError):
        return error
    where = f"{error.filename}: " if error.filename else ""
    return CommandFailed(f"{name}: {where}{error.strerror or error}")
