"""`notebake init`."""

from __future__ import annotations

import secrets
from pathlib import Path

import click

from notebake import screen
from notebake.cli import prompt


@click.command("init")
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False), default=Path("notebake.toml"))
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option(
    "--no-password",
    is_flag=True,
    help="Set no password: each machine generates a token at its first boot.",
)
@click.option("--mirrors", type=click.Choice(["host"]), help="Use the package sources of this host.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
def command(path: Path, password_stdin: bool, no_password: bool, mirrors: str | None, force: bool) -> None:
    """\b
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
            f"{path}: already exists",
            "use --force to replace it, or `notebake passwd` to set only the password",
        )
    if password_stdin and no_password:
        raise click.UsageError("--password-stdin and --no-password cannot be used together")
    hint = "use --password-stdin, or --no-password for a token instead"
    password = "" if no_password else prompt.new(from_stdin=password_stdin, hint=hint)
    hashed = passwords.password_hash(password, salt=secrets.token_bytes(16)) if password else None
    write_whole(path, example.text(password=hashed, mirrors=mirrors).encode())
    screen.echo(f"wrote {path}; next: notebake bake debian-13, or notebake launch debian-13")
