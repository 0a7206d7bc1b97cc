"""`notebake logs`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from notebake import screen
from notebake.cli import options

if TYPE_CHECKING:
    from notebake.machines.machine import Machine

_SECONDS = 1.0


@click.command("logs")
@click.argument("patterns", nargs=-1, required=True, type=options.MachineName(), metavar="NAME|PATTERN...")
@click.option("-f", "--follow", is_flag=True, help="Keep printing new lines until Ctrl-C.")
def command(patterns: tuple[str, ...], follow: bool) -> None:
    """Of several machines each log has a line with the machine's name before it."""
    from notebake.machines import lifecycle

    machines = lifecycle.find(patterns)
    printed = _print(machines, {})
    while follow:
        time.sleep(_SECONDS)
        printed |= _print(machines, printed)


def _print(machines: list[Machine], printed: dict[str, int]) -> dict[str, int]:
    """Print what is new of each log; return up to which byte each was printed.

    `printed`: the same from the last time. A log that is shorter now belongs to a new boot.
    """
    from contextlib import suppress

    from notebake.errors import NotebakeError
    from notebake.machines import console, platforms

    ends = {}
    for machine in machines:
        with suppress(NotebakeError):  # what is known of it is shown, also when its daemon is away
            platforms.look(machine)
        text = machine.console.read_bytes() if machine.console.exists() else b""
        start = printed.get(machine.name, 0)
        new = text[start:] if start <= len(text) else text
        ends[machine.name] = len(text)
        if len(machines) > 1 and (new or not printed):
            screen.echo(f"==> {machine.name} <==")
        screen.echo(console.clean(new.decode("utf-8", "replace")), nl=not printed)
    return ends
