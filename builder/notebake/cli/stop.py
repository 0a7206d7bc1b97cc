"""`notebake stop`."""

from __future__ import annotations

import click

from notebake.cli import options


@click.command("stop")
@click.argument("names", nargs=-1, type=options.MachineName(), metavar="[NAME]...")
@click.option("--all", "everything", is_flag=True, help="Stop all machines.")
def command(names: tuple[str, ...], everything: bool) -> None:
    from notebake.errors import SpecError
    from notebake.machines import lifecycle
    from notebake.progress import Steps

    if everything == bool(names):
        raise SpecError("give either the NAME of a machine or --all", "`notebake ps` lists the machines")
    steps = Steps()
    for name in names or [machine.name for machine in lifecycle.machines()]:
        with steps.step(f"stop {name}"):
            lifecycle.stop(name)
