"""`notebake schema`."""

from __future__ import annotations

import json

import click


@click.command("schema")
def command() -> None:
    """Print the JSON schema of notebake.toml."""
    from notebake import spec

    click.echo(json.dumps(spec.schema(), indent=2))
