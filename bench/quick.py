"""Quick benchmarks: the start of the command, and user-data for many machines."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import median

from bench.context import Context
from bench.rows import Benchmark, Outcome
from notebake import process
from notebake.provision import files
from notebake.render import nocloud, output

HELP = Benchmark(name="help", what='`notebake --help` / `python -c "import click"`', target=1.2)
RENDER = Benchmark(name="render", what="user-data for 1,000 machines", target=2.0, unit=" s")

PAIRS = 15
MACHINES = 1000


def help_(context: Context) -> Outcome:
    """Compare in pairs. The first pair does not count: its files may not be in memory yet."""
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


def render_(context: Context) -> Outcome:
    """Time one plan with another name and instance-id for each machine, in this process."""
    started = time.monotonic()
    payload = files.build(context.plan)
    user_data = output.user_data(context.plan, payload)
    seeds = {
        (
            user_data.seed,
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
