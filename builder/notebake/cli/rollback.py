"""`notebake rollback`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from notebake.cli import options


@click.command("rollback")
@click.argument("target", type=options.TargetName())
@click.argument("channel", default="stable")
@options.catalog
@options.key
def command(target: str, channel: str, url: str, key_path: Path) -> None:
    """Point CHANNEL (stable) of TARGET back to the version it was before.

    \b
    Example:
      notebake rollback debian-13 --key notebake.key
    """
    from notebake import signing
    from notebake.catalog import Catalog, moving

    signer = signing.private_key(key_path)
    move = moving.rollback(Catalog(url), target, channel, signer=signer, now=datetime.now(UTC))
    click.echo(f"{target}@{channel} is {move.version} again")
