"""`notebake ps`."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import click

from notebake import screen
from notebake.cli import options, selection

if TYPE_CHECKING:
    from notebake.machines.machine import Machine

_SECONDS = 15.0


@click.command("ps")
@selection.names
@options.as_json
def command(patterns: tuple[str, ...], as_json: bool) -> None:
    """A machine is running, stopped, or failed: its notebook did not answer after the last start.

    On Incus also missing: others deleted its instance; or unreachable: its daemon or cluster member is away.
    A running one is asked whether an update waits for a restart of the machine or of its server. One that
    does not answer within 15 seconds is shown without.
    """
    from notebake.machines import platforms

    machines = selection.chosen(patterns, everything=not patterns)
    states = platforms.states(machines)
    waiting = _waiting([machine for machine in machines if states[machine.name] == "running"])
    if as_json:
        rows = [
            {
                **dataclasses.asdict(machine),
                "url": machine.url,
                "state": states[machine.name],
                "restart_needed": waiting.get(machine.name),
            }
            for machine in machines
        ]
        screen.echo(json.dumps(rows, indent=2, default=str))
        return
    if not machines:
        screen.echo("no machines; `notebake launch` starts one", err=True)
        return
    from notebake import terminal

    table = terminal.table("machine", "state", "platform", "from", "address", "since (UTC)")
    for machine in machines:
        source = machine.source if machine.source == "user-data" else machine.source.rsplit("/", 1)[-1]
        since = machine.created[:16].replace("T", " ")
        state: str = states[machine.name]
        if waiting.get(machine.name):
            state += ", restart needed"
        table.add_row(machine.name, state, machine.platform, source, machine.url, since)
    terminal.console().print(table)


def _waiting(machines: list[Machine]) -> dict[str, str]:
    """Return what an update waits for on these running machines, by name; all are asked at once."""
    from concurrent.futures import ThreadPoolExecutor

    from notebake.errors import NotebakeError
    from notebake.probe.checks import restart

    def ask(machine: Machine) -> str | None:
        try:
            return restart.needed(machine.ssh, _SECONDS)
        except NotebakeError:
            return None

    with ThreadPoolExecutor(max_workers=16) as pool:
        found = dict(zip((machine.name for machine in machines), pool.map(ask, machines), strict=True))
    return {name: reason for name, reason in found.items() if reason}
