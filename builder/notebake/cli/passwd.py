"""`notebake passwd`."""

from __future__ import annotations

import secrets
from pathlib import Path

import click

from notebake.cli import options, prompt


@click.command("passwd")
@options.spec_file
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@options.weak
def command(spec_path: Path, password_stdin: bool, weak: bool) -> None:
    """Only the argon2id hash is stored; comments are kept. An empty password removes the existing one: each
    machine then generates a token.
    """
    import tomlkit

    from notebake.files import write_whole
    from notebake.plan import password as passwords
    from notebake.plan import spec

    spec.load(spec_path)
    password = prompt.new(from_stdin=password_stdin, weak=weak, hint="use --password-stdin")
    document = tomlkit.parse(spec_path.read_text("utf-8"))
    notebook = document.setdefault("notebook", tomlkit.table())
    if password:
        notebook["password"] = passwords.password_hash(password, salt=secrets.token_bytes(16))
    else:
        notebook.pop("password", None)
    write_whole(spec_path, tomlkit.dumps(document).encode(), spec_path.stat().st_mode & 0o777)
    done = "set" if password else "removed; new machines generate a token"
    click.echo(f"{spec_path}: password {done}. To apply it, bake or launch again.")
