"""`notebake restart`."""

from __future__ import annotations

import click

from notebake.cli import selection


@click.command("restart")
@selection.names
@selection.everything
@selection.timeout
def command(patterns: tuple[str, ...], everything: bool, timeout: float) -> int:
    """Waits for the notebook server as `notebake start` does."""
    machines = selection.chosen(patterns, everything)
    return selection.start(machines, limit=timeout, title="restart", stop_first=True)
