"""`notebake stop`."""

from __future__ import annotations

import click

from notebake.cli import options


@click.command("stop")
@click.argument("names", nargs=-1, type=options.MachineName(), metavar="[NAME]...")
@click.option("--all", "everything", is_flag=True, help="All of them.")
def command(names: tuple[str, ...], everything: bool) -> None:
    """Stop machines and remove their disks, networks and records."""
    from notebake.errors import SpecError
    from notebake.machines import lifecycle
    from notebake.progress import Steps

    if everything == bool(names):
        raise SpecError("give the NAME of a machine, or --all", "`notebake ps` lists them")
    steps = Steps()
    for name in names or [item.name for item in lifecycle.machines()]:
        with steps.step(f"stop {name}"):
            lifecycle.stop(name)
