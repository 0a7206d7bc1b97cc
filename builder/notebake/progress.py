"""Show the progress of long work on standard error: one line per step, with its duration."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from rich.console import Console
from rich.status import Status
from rich.text import Text

from notebake import terminal


@dataclass
class Steps:
    """Shows and times the steps of a job, one at a time.

    `taken` holds (title, seconds) of every successful step, in order. `current` is the title of the running
    step; after a failure, of the failed step.
    """

    console: Console = field(default_factory=partial(terminal.console, stderr=True))
    taken: list[tuple[str, float]] = field(default_factory=list)
    current: str | None = None
    _started: float = 0.0
    _running: bool = False
    _status: Status | None = None

    def begin(self, title: str) -> None:
        """Start a step; end the running one first, as successful. A terminal shows a spinner until `end`."""
        if self._running:
            self.end()
        self.current, self._started, self._running = title, time.monotonic(), True
        if self.console.is_terminal:
            self._status = self.console.status(Text(title))
            self._status.start()

    def end(self, *, ok: bool = True) -> None:
        """End the running step and print one line: ✓ or ✗, title, seconds."""
        if self._status is not None:
            self._status.stop()
            self._status = None
        title, seconds = self.current or "", time.monotonic() - self._started
        self._running = False
        if ok:
            self.taken.append((title, round(seconds, 3)))
            self.current = None
        mark = ("✓", "green") if ok else ("✗", "red")
        line = Text.assemble(mark, f" {title} ", (f"{seconds:.1f} s", "dim"))
        self.console.print(line, soft_wrap=True)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Run a block as a step; an exception ends the step as failed."""
        self.begin(title)
        try:
            yield
        except BaseException:
            if self._running:
                self.end(ok=False)
            raise
        self.end()

    def note(self, text: str) -> None:
        """Print one line between or inside steps."""
        self.console.print(Text(f"  {text}", "dim"), soft_wrap=True)
