"""`notebake targets`."""

from __future__ import annotations

import json

import click

from notebake.cli import options


@click.command("targets")
@options.as_json
def command(as_json: bool) -> None:
    """List the systems that machines can be made of."""
    from notebake.plan import targets

    found = targets.all_targets()
    if as_json:
        rows = [item.model_dump(mode="json", exclude={"folder"}) for item in found]
        click.echo(json.dumps(rows, indent=2))
        return
    from notebake import terminal

    table = terminal.table("target", "system", "python", "firewall", "base")
    made = {"mmdebstrap": "made here", "download": "downloaded", "windows-media": "from your ISO"}
    for item in found:
        table.add_row(item.name, item.title, item.python.version, item.firewall, made[item.base.kind])
    terminal.console().print(table)
