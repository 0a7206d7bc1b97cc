"""`notebake ps`."""

from __future__ import annotations

import dataclasses
import json

import click

from notebake.cli import options, selection


@click.command("ps")
@selection.names
@options.as_json
def command(patterns: tuple[str, ...], as_json: bool) -> None:
    """A machine is running, stopped, or failed: its notebook did not answer after the last start."""
    machines = selection.chosen(patterns, everything=not patterns)
    if as_json:
        rows = [
            {**dataclasses.asdict(machine), "url": machine.url, "state": machine.state}
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
        source = machine.source if machine.source == "user-data" else machine.source.rsplit("/", 1)[-1]
        since = machine.created[:16].replace("T", " ")
        table.add_row(machine.name, machine.state, machine.platform, source, machine.url, since)
    terminal.console().print(table)
