"""What is printed for people: every value comes out as it went in.

rich would read `:AB:` as an emoji, `[red]` as a colour, and cut a long cell. Nobody else makes a Console
or a Table of it. Styles are given as styles, never as markup inside a text.
"""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

# A file or a pipe has no line length: a value broken in two could not be searched for.
_UNLIMITED = 100_000  # columns


def console(*, stderr: bool = False) -> Console:
    """Return a console on standard output, or on standard error, that reads no markup and no emoji codes."""
    made = Console(stderr=stderr, markup=False, emoji=False, highlight=False)
    if not made.is_terminal:
        made.width = _UNLIMITED
    return made


def table(*headers: str, title: str | None = None) -> Table:
    """Return a table without lines; a cell longer than its column is folded, never cut."""
    made = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for header in headers:
        made.add_column(header, overflow="fold")
    return made
