"""How commands take several machines: names and patterns, one line each, the exit code of a failure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

import click

from notebake import screen
from notebake.cli import options

if TYPE_CHECKING:
    from notebake.errors import NotebakeError
    from notebake.machines.machine import Machine
    from notebake.machines.wait import Watch
    from notebake.progress import Steps

T = TypeVar("T")

names: options.Decorator = click.argument(
    "patterns", nargs=-1, type=options.MachineName(), metavar="[NAME|PATTERN]..."
)
everything: options.Decorator = click.option("--all", "everything", is_flag=True, help="All machines.")
timeout: options.Decorator = click.option(
    "--timeout",
    type=options.Number(1, options.MAX_SECONDS),
    default=1200,
    show_default=True,
    help="Seconds to wait for the notebook server.",
)


def chosen(patterns: tuple[str, ...], everything: bool) -> list[Machine]:
    """Return the machines that the command line names. Raises SpecError when it names none."""
    from notebake.errors import SpecError
    from notebake.machines import lifecycle

    if everything == bool(patterns):
        raise SpecError(
            "give the names of machines, a pattern such as 'class-*', or --all",
            "`notebake ps` lists the machines",
        )
    return lifecycle.machines() if everything else lifecycle.find(patterns)


def each(
    machines: list[Machine], work: Callable[[str, Steps, type[Watch]], T], *, title: str
) -> tuple[dict[str, T], int]:
    """Do `work` for all of them; return what it returned, by name, and the exit code.

    Prints the error of each that failed.
    """
    from notebake.machines import many
    from notebake.progress import Steps

    if not machines:
        return {}, 0
    here = [item.memory_mib for item in machines if item.cloud is None]
    limit = many.at_once(max(here)) if here else many.IN_CLOUDS
    done, failed = many.each([item.name for item in machines], work, title=title, limit=limit, steps=Steps())
    return done, show(failed)


def start(machines: list[Machine], *, limit: float, title: str, stop_first: bool) -> int:
    """Start the machines and print where each serves its notebooks; return the exit code."""
    from notebake.machines import lifecycle

    def work(name: str, steps: Steps, watch: type[Watch]) -> Machine:
        if stop_first:
            with steps.step("machine stopped"):
                lifecycle.stop(name)
        return lifecycle.start(name, steps=steps, limit=limit, watch=watch)

    done, code = each(machines, work, title=title)
    for item in done.values():
        screen.echo(f"{item.name} serves notebooks at {item.url}")
    return code


def show(failed: Mapping[str, NotebakeError]) -> int:
    """Print each error with its hint; return the first one's exit code, 0 when there is none."""
    for error in failed.values():
        options.show_error(error.message, error.hint)
    return next((error.exit_code for error in failed.values()), 0)
