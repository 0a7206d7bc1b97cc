"""`python -m bench [--only NAME ...] [--runs N]`: run benchmarks, print and save their results."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from bench import bakes, boots, containers, host, images, quick, rows
from bench import context as contexts
from bench.context import Context
from bench.rows import Benchmark, Outcome
from notebake import terminal
from notebake.errors import NotebakeError
from notebake.progress import Steps

# Quick ones first; the bake before the benchmarks that use its image.
BENCHES: tuple[tuple[Benchmark, Callable[[Context], Outcome]], ...] = (
    (quick.HELP, quick.help_),
    (quick.RENDER, quick.render_),
    (images.CONTENT, images.content),
    (images.DIFF, images.diff),
    (images.LIST, images.list_),
    (images.GROWTH, images.growth),
    (bakes.BAKE, bakes.bake),
    (bakes.UNCHANGED, bakes.unchanged),
    (bakes.SIZE, bakes.size),
    (boots.GOLDEN, boots.golden),
    (boots.FIRST_BOOT, boots.first_boot),
    (boots.MEMORY, boots.memory),
    (containers.GOLDEN, containers.golden),
    (containers.TWENTY, containers.twenty),
    (containers.MEMORY, containers.memory),
    (containers.IMPORT, containers.imported_once),
    (containers.FIRST_BOOT, containers.first_boot),
)
NAMES = tuple(benchmark.name for benchmark, _ in BENCHES)


@click.command("bench")
@click.option(
    "--only", multiple=True, type=click.Choice(NAMES), help="Run only this benchmark; can be repeated."
)
@click.option(
    "--runs",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="How many times to start each machine.",
)
@click.option(
    "--image",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Golden image (with its record) for the golden boot; baked if not given.",
)
def main(only: tuple[str, ...], runs: int, image: Path | None) -> None:
    """Run the benchmarks and write bench/results.md and bench/results.json."""
    console = terminal.console()
    chosen = [(benchmark, run) for benchmark, run in BENCHES if not only or benchmark.name in only]
    if host.busy():
        console.print(Text("this host is busy: the results will be too high", "yellow"))
    facts = host.facts()
    measured: list[dict[str, Any]] = []
    steps = Steps()
    with contexts.create(runs=runs, given=image, steps=steps) as context:
        try:
            for benchmark, run in chosen:
                console.print(Text.assemble("\n", (benchmark.name, "bold"), f": {benchmark.what}"))
                row = rows.row(benchmark, _measure(run, context), facts)
                measured.append(row)
                console.print(rows.table([row]))
                # Now, not at the end: a run that is stopped keeps its results.
                rows.save([row], NAMES)
        finally:
            if len(measured) > 1:
                console.print(rows.table(measured))
    sys.exit(0 if all(row["value"] is not None for row in measured) else 1)


def _measure(run: Callable[[Context], Outcome], context: Context) -> Outcome:
    """Run one benchmark. A failure is an outcome too, so that the others still run."""
    try:
        return run(context)
    except NotebakeError as error:
        reason = error.message
    except RuntimeError as error:
        reason = str(error)
    # Not in the results: the reason may end with a log's tail, with names and paths of this host.
    print(reason, file=sys.stderr)
    return Outcome(value=None, runs=0, detail="failed")


if __name__ == "__main__":
    main()
