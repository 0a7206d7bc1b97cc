"""`notebake promote`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from notebake import screen
from notebake.cli import opening, options

if TYPE_CHECKING:
    from notebake.catalog.gate import Gate
    from notebake.catalog.signing import Signer


@click.command("promote")
@click.argument("image", metavar="TARGET@VERSION")
@click.argument("channel", default="stable")
@options.gate
@options.catalog
@options.signer
def command(image: str, channel: str, gate: Gate | None, url: str, signer: Signer) -> None:
    """CHANNEL is stable by default. TARGET@candidate is the newest version. Every byte of the version is
    verified against its signature first.

    \b
    Example:
      notebake promote debian-13@candidate --key notebake.key
      notebake promote debian-13@candidate --vulnerabilities grype.json --key notebake.key
    """
    from notebake.catalog import promote

    now = datetime.now(UTC)
    catalog = opening.writer(url, signer, now)
    move = promote.promote(catalog, catalog.find(image), channel, signer=signer, now=now, gate=gate)
    screen.echo(f"{move.target}@{channel} is {move.version}")
