"""`notebake logs`."""

from __future__ import annotations

import os

import click

from notebake.cli import options


@click.command("logs")
@click.argument("patterns", nargs=-1, required=True, type=options.MachineName(), metavar="NAME|PATTERN...")
@click.option("-f", "--follow", is_flag=True, help="Keep printing new lines.")
def command(patterns: tuple[str, ...], follow: bool) -> None:
    """Of several machines each log has a line with the machine's name before it."""
    from notebake import process
    from notebake.machines import lifecycle

    machines = lifecycle.find(patterns)
    if follow:
        paths = [str(machine.console) for machine in machines]
        os.execv(process.which("tail"), ["tail", "-n", "+1", "-F", *paths])
    for machine in machines:
        if len(machines) > 1:
            click.echo(f"==> {machine.name} <==")
        click.echo(machine.console.read_bytes())
