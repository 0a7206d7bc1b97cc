"""`notebake delete`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from notebake import screen
from notebake.cli import prompt, selection

if TYPE_CHECKING:
    from notebake.machines.wait import Watch
    from notebake.progress import Steps


@click.command("delete")
@selection.names
@selection.everything
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def command(patterns: tuple[str, ...], everything: bool, yes: bool) -> int:
    """The notebooks on them are lost. A running machine is ended at once. Asks first, unless --yes is given.

    \b
    Examples:
      notebake delete debian-13-1
      notebake delete --yes 'class-*'
    """
    from notebake.machines import lifecycle

    machines = selection.chosen(patterns, everything)
    listed = ", ".join(item.name for item in machines)
    if machines and not yes:
        question = f"Delete {listed} with all notebooks"
        if not prompt.confirm(question, hint="--yes deletes without asking"):
            screen.echo("nothing was deleted", err=True)
            return 0

    def work(name: str, steps: Steps, watch: type[Watch]) -> None:
        with steps.step(f"delete {name}"):
            lifecycle.delete(name)

    _, code = selection.each(machines, work, title="delete")
    return code
