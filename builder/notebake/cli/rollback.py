"""`notebake rollback`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from notebake import screen
from notebake.cli import opening, options

if TYPE_CHECKING:
    from notebake.catalog.signing import Signer


@click.command("rollback")
@click.argument("target", type=options.TargetName())
@click.argument("channel", default="stable")
@options.catalog
@options.signer
def command(target: str, channel: str, url: str, signer: Signer) -> None:
    """CHANNEL is stable by default.

    \b
    Example:
      notebake rollback debian-13 --key notebake.key
    """
    from notebake.catalog import promote

    now = datetime.now(UTC)
    catalog = opening.writer(url, signer, now)
    move = promote.rollback(catalog, target, channel, signer=signer, now=now)
    screen.echo(f"{target}@{channel} is {move.version} again")
