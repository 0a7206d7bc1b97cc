"""`notebake passwd`."""

from __future__ import annotations

import secrets
from pathlib import Path

import click

from notebake import screen
from notebake.cli import options, prompt


@click.command("passwd")
@options.spec_file
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
def command(spec_path: Path, password_stdin: bool) -> None:
    """Only the argon2id hash is stored; comments are kept. An empty password removes the existing one: each
    machine then generates a token.
    """
    import tomlkit

    from notebake import documents
    from notebake.files import rewrite
    from notebake.plan import password as passwords
    from notebake.plan import spec

    spec.load(spec_path)
    password = prompt.new(from_stdin=password_stdin, hint="use --password-stdin")
    data = spec_path.read_bytes()
    document = documents.editable_toml(data)
    notebook = document.setdefault("notebook", tomlkit.table())
    if password:
        notebook["password"] = passwords.password_hash(password, salt=secrets.token_bytes(16))
    else:
        notebook.pop("password", None)
    text = tomlkit.dumps(document)
    if b"\r\n" in data:  # new lines end as those of the file do
        text = text.replace("\r\n", "\n").replace("\n", "\r\n")
    rewrite(spec_path, text.encode())
    done = "set" if password else "removed; new machines generate a token"
    screen.echo(f"{spec_path}: password {done}. To apply it, bake or launch again.")
