"""`python -m bench [--only NAME ...] [--runs N]`: measure, show, keep."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import click
from rich.text import Text

from bench import bakes, boots, host, images, quick, rows, workshop
from bench.rows import Outcome, Promise
from bench.workshop import Workshop
from notebake import terminal
from notebake.errors import NotebakeError
from notebake.machines.machine import Platform
from notebake.progress import Steps

# Quick ones first; the bake before what can use its image.
BENCHES: tuple[tuple[Promise, Callable[[Workshop], Outcome]], ...] = (
    (quick.HELP, quick.help_),
    (quick.RENDER, quick.render_),
    (images.CONTENT, images.content),
    (images.DIFF, images.diff),
    (images.LIST, images.list_),
    (images.GROWTH, images.growth),
    (bakes.BAKE, bakes.bake),
    (bakes.UNCHANGED, bakes.unchanged),
    (boots.GOLDEN, boots.golden),
    (boots.FIRST_BOOT, boots.first_boot),
    (boots.MEMORY, boots.memory),
)
NAMES = tuple(promise.name for promise, _ in BENCHES)


@click.command("bench")
@click.option(
    "--only", multiple=True, type=click.Choice(NAMES), help="Measure just this; may be given again."
)
@click.option(
    "--runs", type=click.IntRange(1), default=1, show_default=True, help="How often machines are started."
)
@click.option(
    "--image",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A golden image for the golden boot, with its record beside it, instead of one baked here.",
)
@click.option(
    "--platform",
    type=click.Choice(["qemu", "nspawn"]),
    default="qemu",
    show_default=True,
    help="nspawn tries the boots out in a fraction of the time; its figures promise nothing and are not kept.",
)
def main(only: tuple[str, ...], runs: int, image: Path | None, platform: str) -> None:
    """Measure what notebake promises, and keep it in bench/results.md and bench/results.json."""
    console = terminal.console()
    chosen = [(promise, run) for promise, run in BENCHES if not only or promise.name in only]
    if host.busy():
        console.print(Text("others are at work on this computer: these figures will be too high", "yellow"))
    facts = host.facts()
    measured: list[dict[str, Any]] = []
    steps = Steps()
    with workshop.opened(platform=cast(Platform, platform), runs=runs, given=image, steps=steps) as place:
        try:
            for promise, run in chosen:
                console.print(Text.assemble("\n", (promise.name, "bold"), f": {promise.what}"))
                made = rows.row(promise, _measure(run, place), facts)
                measured.append(made)
                console.print(rows.table([made]))
                if platform == "qemu":
                    # At once: a run that is stopped keeps what it has.
                    rows.save([made], NAMES)
        finally:
            if len(measured) > 1:
                console.print(rows.table(measured))
    sys.exit(0 if all(each["value"] is not None for each in measured) else 1)


def _measure(run: Callable[[Workshop], Outcome], place: Workshop) -> Outcome:
    """One measurement; a failed one is an outcome too, so that the others still get their turn."""
    try:
        return run(place)
    except NotebakeError as error:
        reason = error.message
    except RuntimeError as error:
        reason = str(error)
    # Not into the results: it ends in a log's tail, with names and paths of this computer.
    print(reason, file=sys.stderr)
    return Outcome(value=None, runs=0, detail="failed")


if __name__ == "__main__":
    main()
