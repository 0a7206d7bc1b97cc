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


def line(option: str) -> str:
    """Return the first line of standard input (UTF-8), without a byte order mark. Raises SpecError."""
    from notebake.errors import SpecError

    binary = getattr(sys.stdin, "buffer", None)
    data = binary.readline() if binary else sys.stdin.readline().encode()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise SpecError(f"{option}: encoded as UTF-16", "save the file as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SpecError(f"{option}: not UTF-8", "save the file as UTF-8") from None
    return str(text).rstrip("\r\n")


def new(
    *,
    from_stdin: bool,
    weak: bool,
    hint: str,
    title: str = "Password (empty: each machine generates a token)",
) -> str:
    """Return a new password: the first line of standard input, or from a prompt, where empty means none.

    Raises SpecError, with `hint` where there is none, and for a weak one unless `weak`.
    """
    from notebake.plan import password as passwords

    option = "--password-stdin"
    password = read(option, hint=hint) if from_stdin else ask(title, hint=hint, twice=True)
    if password and not weak:
        passwords.check(password)
    return password


def read(option: str, *, hint: str) -> str:
    """Return the next line of standard input, a password. Raises SpecError with `hint` if it is empty."""
    from notebake.errors import SpecError

    password = line(option)
    if not password:
        raise SpecError(f"{option}: the password is empty", hint)
    return password


def confirm(question: str, *, hint: str) -> bool:
    """Return the answer to a yes-or-no question. Without a terminal, raises SpecError with `hint`."""
    from notebake.errors import SpecError

    if not sys.stdin.isatty():
        raise SpecError("cannot ask for confirmation: standard input is not a terminal", hint)
    return click.confirm(f"{question}?", err=True)
