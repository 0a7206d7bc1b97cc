"""What is printed for people: every value comes out as it went in, and as text.

rich would read `:AB:` as an emoji, `[red]` as a colour, cut a long cell, and let escape sequences through.
Nobody else makes a Console or a Table of it. Styles are given as styles, never as markup inside a text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table

# A file or a pipe has no line length: a value broken in two could not be searched for.
_UNLIMITED = 100_000  # columns
# C0 but the line's end, DEL and C1: they could clear the screen or set the window's title.
_CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f]")


class _Console(Console):
    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render with a � for each control character of a text; rich's own cursor movements stay."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else _CONTROL.sub("�", text), style, control)


def console(*, stderr: bool = False) -> Console:
    """Return a console on standard output, or on standard error, that reads no markup and no emoji codes."""
    made: Console = _Console(stderr=stderr, markup=False, emoji=False, highlight=False)
    if not made.is_terminal:
        made.width = _UNLIMITED
    return made


def table(*headers: str, title: str | None = None) -> Table:
    """Return a table without lines; a cell longer than its column is folded, never cut."""
    made = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for header in headers:
        made.add_column(header, overflow="fold")
    return made
