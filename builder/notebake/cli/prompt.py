"""How commands ask for a password."""

from __future__ import annotations

import sys

import click


def ask(title: str, *, instead: str, twice: bool = False) -> str:
    """Asked for without echo; may be empty. Raises SpecError, with the hint `instead`, where nobody can answer."""
    from notebake.errors import SpecError

    if not sys.stdin.isatty():
        raise SpecError("a password is needed, and nobody can be asked: there is no terminal", instead)
    return str(
        click.prompt(
            title,
            hide_input=True,
            default="",
            show_default=False,
            confirmation_prompt="The same again" if twice else False,
            err=True,
        )
    )


def new(*, from_stdin: bool, instead: str) -> str:
    """A new password, from standard input's first line or asked for twice; empty for none. Raises SpecError."""
    from notebake.errors import SpecError

    if not from_stdin:
        return ask("Password (empty: each machine makes a token)", instead=instead, twice=True)
    found = sys.stdin.readline().rstrip("\r\n")
    if not found:
        raise SpecError("--password-stdin: the password is empty", instead)
    return found
