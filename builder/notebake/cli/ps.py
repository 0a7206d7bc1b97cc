"""`notebake ps`."""

from __future__ import annotations

import dataclasses
import json

import click

from notebake.cli import options


@click.command("ps")
@options.as_json
def command(as_json: bool) -> None:
    from notebake.machines import lifecycle

    machines = lifecycle.machines()
    if as_json:
        rows = [
            {**dataclasses.asdict(machine), "url": machine.url, "running": machine.alive()}
            for machine in machines
        ]
        click.echo(json.dumps(rows, indent=2, default=str))
        return
    if not machines:
        click.echo("no machines; `notebake launch` starts one", err=True)
        return
    from notebake import terminal

    table = terminal.table("machine", "state", "platform", "from", "address", "since (UTC)")
    for machine in machines:
        state = "running" if machine.alive() else "stopped"
        source = machine.source if machine.source == "user-data" else machine.source.rsplit("/", 1)[-1]
        since = machine.created[:16].replace("T", " ")
        table.add_row(machine.name, state, machine.platform, source, machine.url, since)
    terminal.console().print(table)
