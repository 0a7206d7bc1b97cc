"""`notebake logs`."""

from __future__ import annotations

import os

import click

from notebake.cli import options


@click.command("logs")
@click.argument("name", type=options.MachineName())
@click.option("-f", "--follow", is_flag=True, help="Keep printing new lines.")
def command(name: str, follow: bool) -> None:
    from notebake import process
    from notebake.machines import lifecycle

    path = lifecycle.logs(name)
    if follow:
        os.execv(process.which("tail"), ["tail", "-n", "+1", "-F", str(path)])
    click.echo(path.read_bytes())
