"""`notebake promote`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from notebake.cli import options


@click.command("promote")
@click.argument("image", metavar="TARGET@VERSION")
@click.argument("channel", default="stable")
@options.catalog
@options.key
def command(image: str, channel: str, url: str, key_path: Path) -> None:
    """Point CHANNEL (stable) to TARGET@VERSION, which may be TARGET@candidate, the newest.

    Its probe report must be green and every byte the one that was signed.

    \b
    Example:
      notebake promote debian-13@candidate --key notebake.key
    """
    from notebake import signing
    from notebake.catalog import Catalog, moving

    catalog = Catalog(url)
    signer = signing.private_key(key_path)
    move = moving.promote(catalog, catalog.find(image), channel, signer=signer, now=datetime.now(UTC))
    click.echo(f"{move.target}@{channel} is {move.version}")
