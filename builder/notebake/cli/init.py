"""`notebake init`."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

import click


def ask_password(from_stdin: bool) -> str:
    """The password, from standard input's first line or asked twice without echo. May be empty."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return str(
        click.prompt(
            "Password (empty: each machine makes a token)",
            hide_input=True,
            default="",
            show_default=False,
            confirmation_prompt="The same again",
            err=True,
        )
    )


@click.command("init")
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False), default=Path("notebake.toml"))
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option(
    "--no-password", is_flag=True, help="Ask for none: each machine makes a token at its first boot."
)
@click.option(
    "--mirrors", type=click.Choice(["host"]), help="Take packages from where this computer takes them."
)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def command(path: Path, password_stdin: bool, no_password: bool, mirrors: str | None, force: bool) -> None:
    """Write a commented notebake.toml.

    \b
    Examples:
      notebake init
      notebake init --password-stdin < secret.txt
    """
    from notebake import auth, example
    from notebake.errors import SpecError
    from notebake.files import write_whole

    if path.exists() and not force:
        raise SpecError(
            f"{path}: is there already", "--force replaces it; `notebake passwd` sets the password alone"
        )
    if password_stdin and no_password:
        raise click.UsageError("--password-stdin and --no-password exclude each other")
    password = "" if no_password else ask_password(password_stdin)
    if password_stdin and not password:
        raise SpecError("--password-stdin: the password is empty", "--no-password if that is what you want")
    hashed = auth.password_hash(password, salt=secrets.token_bytes(16)) if password else None
    write_whole(path, example.text(password=hashed, mirrors=mirrors).encode())
    click.echo(f"wrote {path}; next: notebake bake debian-13, or notebake launch debian-13")
