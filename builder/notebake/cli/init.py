"""`notebake init`."""

from __future__ import annotations

import secrets
from pathlib import Path

import click

from notebake.cli import prompt


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
    from notebake.errors import SpecError
    from notebake.files import write_whole
    from notebake.plan import example
    from notebake.plan import password as passwords

    if path.exists() and not force:
        raise SpecError(
            f"{path}: is there already", "--force replaces it; `notebake passwd` sets the password alone"
        )
    if password_stdin and no_password:
        raise click.UsageError("--password-stdin and --no-password exclude each other")
    instead = "--password-stdin reads it; --no-password if that is what you want"
    password = "" if no_password else prompt.new(from_stdin=password_stdin, instead=instead)
    hashed = passwords.password_hash(password, salt=secrets.token_bytes(16)) if password else None
    write_whole(path, example.text(password=hashed, mirrors=mirrors).encode())
    click.echo(f"wrote {path}; next: notebake bake debian-13, or notebake launch debian-13")
