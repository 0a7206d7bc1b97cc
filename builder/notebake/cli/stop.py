"""`notebake stop`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from notebake.cli import selection

if TYPE_CHECKING:
    from notebake.machines.wait import Watch
    from notebake.progress import Steps


@click.command("stop")
@selection.names
@selection.everything
def command(patterns: tuple[str, ...], everything: bool) -> int:
    """A stopped machine keeps its disk, its address and its certificate. To remove it: `notebake delete`.

    \b
    Examples:
      notebake stop debian-13-1
      notebake stop 'class-*'
    """
    from notebake.machines import lifecycle

    def work(name: str, steps: Steps, watch: type[Watch]) -> None:
        with steps.step(f"stop {name}"):
            lifecycle.stop(name)

    _, code = selection.each(selection.chosen(patterns, everything), work, title="stop")
    return code
