"""`notebake passwd`."""

from __future__ import annotations

import secrets
from pathlib import Path

import click

from notebake.cli import options, prompt


@click.command("passwd")
@options.spec_file
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
def command(spec_path: Path, password_stdin: bool) -> None:
    """Set the password in notebake.toml. Only its argon2id hash is kept; comments stay as they are.

    An empty one takes it out: then each machine makes a token.
    """
    import tomlkit

    from notebake.files import write_whole
    from notebake.plan import password as passwords
    from notebake.plan import spec

    spec.load(spec_path)
    password = prompt.new(from_stdin=password_stdin, instead="--password-stdin reads it")
    document = tomlkit.parse(spec_path.read_text("utf-8"))
    notebook = document.setdefault("notebook", tomlkit.table())
    if password:
        notebook["password"] = passwords.password_hash(password, salt=secrets.token_bytes(16))
    else:
        notebook.pop("password", None)
    write_whole(spec_path, tomlkit.dumps(document).encode(), spec_path.stat().st_mode & 0o777)
    done = "set; machines get it" if password else "taken out; machines make a token"
    click.echo(f"{spec_path}: password {done} when they are baked or launched anew")
