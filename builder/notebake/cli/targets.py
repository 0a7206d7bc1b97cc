"""`notebake targets`."""

from __future__ import annotations

import json

import click

from notebake.cli import options


@click.command("targets")
@options.as_json
def command(as_json: bool) -> None:
    from notebake.plan import targets

    if as_json:
        rows = [target.model_dump(mode="json", exclude={"folder"}) for target in targets.all_targets()]
        click.echo(json.dumps(rows, indent=2))
        return
    from notebake import terminal

    table = terminal.table("target", "system", "python", "firewall", "base image")
    bases = {"mmdebstrap": "built here", "download": "downloaded", "windows-media": "from your ISO"}
    for target in targets.all_targets():
        base = bases[target.base.kind]
        table.add_row(target.name, target.title, target.python.version, target.firewall, base)
    terminal.console().print(table)
