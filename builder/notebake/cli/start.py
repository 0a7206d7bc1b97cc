"""`notebake start`."""

from __future__ import annotations

import click

from notebake.cli import selection


@click.command("start")
@selection.names
@selection.everything
@selection.timeout
def command(patterns: tuple[str, ...], everything: bool, timeout: float) -> int:
    """A machine keeps its name, address, certificate, token and disk, also after a reboot of the host. The
    command waits for the notebook server; a machine that runs is only waited for.

    \b
    Examples:
      notebake start debian-13-1
      notebake start 'class-*'
    """
    machines = selection.chosen(patterns, everything)
    return selection.start(machines, limit=timeout, title="start", stop_first=False)
