"""What takes seconds: the command's start, and user-data for many machines."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import median

from bench.rows import Outcome, Promise
from bench.workshop import Workshop
from notebake import process
from notebake.provision import files
from notebake.render import nocloud, output

HELP = Promise(name="help", what='`notebake --help` / `python -c "import click"`', target=2.0)
RENDER = Promise(name="render", what="user-data for 1,000 machines", target=2.0, unit=" s")

PAIRS = 15
MACHINES = 1000


def help_(workshop: Workshop) -> Outcome:
    """Medians of pairs; one of each goes first uncounted, for files that are not in memory yet."""
    ours: list[str | Path] = [Path(sys.executable).with_name("notebake"), "--help"]
    click: list[str | Path] = [sys.executable, "-c", "import click"]
    pairs = [(_seconds(ours), _seconds(click)) for _ in range(PAIRS + 1)][1:]
    mine, other = median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)
    return Outcome(
        value=round(median(ours / click for ours, click in pairs), 3),
        runs=PAIRS,
        detail=f"{mine * 1000:.0f} ms, {other * 1000:.0f} ms",
    )


def _seconds(argv: list[str | Path]) -> float:
    started = time.monotonic()
    process.run(argv, timeout=60)
    return time.monotonic() - started


def render_(workshop: Workshop) -> Outcome:
    """One plan, a name and an instance-id of its own for each machine, in one process."""
    started = time.monotonic()
    payload = files.build(workshop.plan)
    made = output.user_data(workshop.plan, payload)
    seeds = {
        (
            made.seed,
            nocloud.meta_data(instance_id=nocloud.instance_id(payload, name), hostname=name, public_keys=()),
        )
        for name in (f"machine-{number}" for number in range(MACHINES))
    }
    taken = time.monotonic() - started
    if len(seeds) != MACHINES:
        raise RuntimeError(f"{MACHINES} machines, but only {len(seeds)} different seeds")
    return Outcome(
        value=round(taken, 3),
        runs=1,
        detail=f"{taken / MACHINES * 1000:.2f} ms each, user-data and meta-data",
    )
