"""`notebake ps`."""

from __future__ import annotations

import dataclasses
import json

import click

from notebake.cli import options


@click.command("ps")
@options.as_json
def command(as_json: bool) -> None:
    """List the launched machines."""
    from notebake.machines import lifecycle

    found = lifecycle.machines()
    if as_json:
        rows = [{**dataclasses.asdict(item), "url": item.url, "running": item.alive()} for item in found]
        click.echo(json.dumps(rows, indent=2, default=str))
        return
    if not found:
        click.echo("no machines; `notebake launch` starts one", err=True)
        return
    from notebake import terminal

    table = terminal.table("machine", "state", "platform", "from", "address", "since (UTC)")
    for item in found:
        state = "running" if item.alive() else "ended"
        source = item.source if item.source == "user-data" else item.source.rsplit("/", 1)[-1]
        table.add_row(item.name, state, item.platform, source, item.url, item.created[:16].replace("T", " "))
    terminal.console().print(table)
