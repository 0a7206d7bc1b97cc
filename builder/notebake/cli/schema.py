"""`notebake schema`."""

from __future__ import annotations

import json

import click

from notebake import screen


@click.command("schema")
@click.option("--record", "of_record", is_flag=True, help="Print the schema of an image's record instead.")
def command(of_record: bool) -> None:
    from notebake.plan import spec
    from notebake.record import record

    screen.echo(json.dumps(record.schema() if of_record else spec.schema(), indent=2))
