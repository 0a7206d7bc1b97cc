"""`notebake passwd`."""

from __future__ import annotations

import secrets
from pathlib import Path

import click

from notebake.cli import options
from notebake.cli.init import ask_password


@click.command("passwd")
@options.spec_file
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
def command(spec_path: Path, password_stdin: bool) -> None:
    """Set the password in notebake.toml. Only its argon2id hash is kept; comments stay as they are."""
    import tomlkit

    from notebake import auth, spec
    from notebake.files import write_whole

    spec.load(spec_path)
    hashed = auth.password_hash(ask_password(password_stdin), salt=secrets.token_bytes(16))
    document = tomlkit.parse(spec_path.read_text("utf-8"))
    document.setdefault("notebook", tomlkit.table())["password"] = hashed
    write_whole(spec_path, tomlkit.dumps(document).encode(), spec_path.stat().st_mode & 0o777)
    click.echo(f"{spec_path}: password set; machines get it when they are baked or launched anew")
