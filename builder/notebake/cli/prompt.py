"""Prompt for a password or a confirmation."""

from __future__ import annotations

import sys

import click


def ask(title: str, *, hint: str, twice: bool = False) -> str:
    """Prompt for a password, which may be empty. Without a terminal, raises SpecError with `hint`."""
    from notebake.errors import SpecError

    if not sys.stdin.isatty():
        raise SpecError("cannot prompt for the password: standard input is not a terminal", hint)
    return str(
        click.prompt(
            title,
            hide_input=True,
            default="",
            show_default=False,
            confirmation_prompt="Repeat for confirmation" if twice else False,
            err=True,
        )
    )


def new(*, from_stdin: bool, hint: str) -> str:
    """Return a new password: the first line of standard input, or from a prompt, where empty means none.

    Raises SpecError with `hint`.
    """
    if not from_stdin:
        return ask("Password (empty: each machine generates a token)", hint=hint, twice=True)
    return read("--password-stdin", hint=hint)


def read(option: str, *, hint: str) -> str:
    """Return the next line of standard input, a password. Raises SpecError with `hint` if it is empty."""
    from notebake.errors import SpecError

    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise SpecError(f"{option}: the password is empty", hint)
    return password


def confirm(question: str, *, hint: str) -> bool:
    """Return the answer to a yes-or-no question. Without a terminal, raises SpecError with `hint`."""
    from notebake.errors import SpecError

    if not sys.stdin.isatty():
        raise SpecError("cannot ask for confirmation: standard input is not a terminal", hint)
    return click.confirm(f"{question}?", err=True)
