"""Progress on long work: one line a step with the time it took, on standard error."""

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
    """Names, shows and times the steps of one job, one at a time.

    `taken` holds (title, seconds) of every step that ended well, in order. `current` is the title of
    the running step, and after a failure that of the one that failed.
    """

    console: Console = field(default_factory=partial(terminal.console, stderr=True))
    taken: list[tuple[str, float]] = field(default_factory=list)
    current: str | None = None
    _started: float = 0.0
    _running: bool = False
    _status: Status | None = None

    def begin(self, title: str) -> None:
        """Start a step; on a terminal a spinner turns until `end`. A running step ends well first."""
        if self._running:
            self.end()
        self.current, self._started, self._running = title, time.monotonic(), True
        if self.console.is_terminal:
            self._status = self.console.status(Text(title))
            self._status.start()

    def end(self, *, ok: bool = True) -> None:
        """End the running step with a line: its mark, its title, its seconds."""
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
        """A step around a block; an exception ends it as failed."""
        self.begin(title)
        try:
            yield
        except BaseException:
            if self._running:
                self.end(ok=False)
            raise
        self.end()

    def note(self, text: str) -> None:
        """Show one plain line between or inside steps."""
        self.console.print(Text(f"  {text}", "dim"), soft_wrap=True)
