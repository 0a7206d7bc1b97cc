"""Progress on long work: one line a step with the time it took, on standard error."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape


@dataclass
class Steps:
    """Names, shows and times the steps of one job.

    `taken` holds (title, seconds) of every step that ended well, in order.
    """

    console: Console = field(default_factory=lambda: Console(stderr=True, highlight=False))
    taken: list[tuple[str, float]] = field(default_factory=list)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show `title` with a spinner on a terminal while the block runs, then a line with its seconds."""
        started = time.monotonic()
        try:
            if self.console.is_terminal:
                with self.console.status(escape(title)):
                    yield
            else:
                yield
        except BaseException:
            self.console.print(f"[red]✗[/] {escape(title)} [dim]{time.monotonic() - started:.1f} s[/]")
            raise
        seconds = time.monotonic() - started
        self.taken.append((title, round(seconds, 3)))
        self.console.print(f"[green]✓[/] {escape(title)} [dim]{seconds:.1f} s[/]")

    def note(self, text: str) -> None:
        """Show one plain line between steps."""
        self.console.print(escape(text))
