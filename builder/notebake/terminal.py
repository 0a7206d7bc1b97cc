"""Print text for users with rich, and print every value unchanged.

By default rich replaces `:AB:` by an emoji, reads `[red]` as a colour, cuts long cells and prints escape
sequences. So only this module creates a Console or a Table. Styles are arguments, never markup in a text.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table

from notebake import screen

# No line breaks in a file or a pipe: a broken value could not be searched for.
_UNLIMITED = 100_000  # columns
_CONTROL = re.compile(f"[\t{screen.UNSAFE}]")  # a tab would move the columns


class _Console(Console):
    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render text with � for every control character; keep rich's own control segments."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else _CONTROL.sub("�", text), style, control)


def console(*, stderr: bool = False) -> Console:
    """Return a console on standard output or standard error, without markup and emoji codes."""
    console: Console = _Console(stderr=stderr, markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = _UNLIMITED
    return console


def silent() -> Console:
    """Return a console whose output nobody sees."""
    return _Console(file=io.StringIO())


def table(*headers: str, title: str | None = None) -> Table:
    """Return a table without borders; a cell longer than its column is wrapped, never cut."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for header in headers:
        table.add_column(header, overflow="fold")
    return table
