"""Print lines for people: nothing that others wrote can control the terminal, whatever its encoding is.

Tables and progress are printed by `terminal`, which replaces the same characters.
"""

from __future__ import annotations

import io
import re
import sys

import click

# C0 except tab and newline, DEL and C1: they could clear the screen or set the window title. Marks that
# change the direction of writing: a name would be shown as another. Halves of surrogate pairs: no encoding
# has them.
UNSAFE = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_UNSAFE = re.compile(f"[{UNSAFE}]")


def safe(text: str) -> str:
    """Return `text` with � for every character that a terminal would obey."""
    return _UNSAFE.sub("�", text)


def echo(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print `text`, made safe, on standard output or standard error."""
    click.echo(safe(text), err=err, nl=nl)


def labelled(label: str, colour: str, text: str) -> None:
    """Print `text`, made safe, on standard error behind a coloured label such as `error:`."""
    click.echo(f"{click.style(f'{label}:', fg=colour)} {safe(text)}", err=True)


def accept_any_text() -> None:
    """Let standard output print what its encoding lacks as `\\u2192`, as standard error does."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
