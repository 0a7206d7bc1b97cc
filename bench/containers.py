"""Containers of Incus: how soon they answer, one and twenty, what an idle one costs, and the tutorial's boot.

Each benchmark has a daemon of its own. Its pool is of type `dir`, for twenty machines of type `btrfs`, as
docs/how-to/incus.md says. A warm-up imports the image.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from statistics import median

from tests.incus import Incus, daemon, many_containers

from bench.boots import notebook_over_sshd, tutorial
from bench.context import Context
from bench.rows import Benchmark, Outcome
from bench.watch import Moments, Watcher
from notebake import launch
from notebake.launch import Source
from notebake.machines import lifecycle, wait
from notebake.machines.machine import Machine

GOLDEN = Benchmark(
    name="incus-golden", what="golden container: launch to notebook ready / to sshd ready", target=1.2
)
TWENTY = Benchmark(
    name="incus-twenty", what="twenty containers of one image until all answer / one container", target=6.0
)
MEMORY = Benchmark(
    name="incus-memory", what="memory of an idle golden container above its base's", target=120.0, unit=" MiB"
)
IMPORT = Benchmark(name="incus-import", what="an unchanged image is imported once", target=True)
FIRST_BOOT = Benchmark(
    name="incus-first-boot",
    what="container: first boot with user-data only / as in the 2013 tutorial",
    target=0.2,
)

_TWENTY = 20
_SETTINGS = {"platform": "incus", "limit": 3600.0, "memory_mib": 1024}


class _OnlySsh(wait.Watch):
    """Waits for sshd only: a plain base serves no notebook."""

    def run(self) -> Machine:
        self.wait_for_sshd()
        return self.machine


@contextlib.contextmanager
def _booted(
    context: Context, source: Source, name: str, watch: type[wait.Watch] = wait.Watch
) -> Iterator[Machine]:
    try:
        yield launch.launch_machine(source, name=name, steps=context.steps, settings=_SETTINGS, watch=watch)
    finally:
        if any(machine.name == name for machine in lifecycle.machines()):
            lifecycle.delete(name)


def _moments(context: Context, source: Source, name: str) -> Moments:
    with Watcher(name) as watcher, _booted(context, source, name):
        return watcher.moments()


def _golden_source(context: Context) -> Source:
    return launch.from_image(context.image(), context.spec)


def golden(context: Context) -> Outcome:
    """Compare when the notebook and when sshd answers, in the same boot of a golden image."""
    source = _golden_source(context)
    with daemon():
        _moments(context, source, "warm-up")
        boots = [_moments(context, source, f"golden-{number}") for number in range(context.runs)]
    return notebook_over_sshd(boots)


def twenty(context: Context) -> Outcome:
    """Compare a launch of twenty machines with one of one machine."""
    source = _golden_source(context)
    with many_containers(), daemon("btrfs"):
        _moments(context, source, "warm-up")
        begun = time.monotonic()
        with _booted(context, source, "one"):
            one = time.monotonic() - begun
        begun = time.monotonic()
        found, failed = launch.launch_many(
            source, name="many", count=_TWENTY, steps=context.steps, settings=_SETTINGS
        )
        many = time.monotonic() - begun
        for name in found:
            lifecycle.delete(name)
    if failed:
        raise RuntimeError(f"{len(failed)} of {_TWENTY} failed: {next(iter(failed.values())).message}")
    detail = f"twenty {many:.1f} s, one {one:.1f} s, pool btrfs"
    return Outcome(value=round(many / one, 2), runs=1, detail=detail)


def memory(context: Context) -> Outcome:
    """Compare the memory of the processes of two idle machines: the golden image and its base."""
    base = dataclasses.replace(_user_data_only(context), user_data=b"#cloud-config\n{}\n", identity="plain")
    with daemon() as incus:
        with _booted(context, base, "base", _OnlySsh):
            plain = _processes_mib(incus, "base")
        with _booted(context, _golden_source(context), "golden"):
            ours = _processes_mib(incus, "golden")
    return Outcome(
        value=round(ours - plain, 1), runs=1, detail=f"golden {ours:.0f} MiB, its base {plain:.0f} MiB"
    )


def _processes_mib(incus: Incus, name: str) -> float:
    """Return the memory of all processes after the boot; pages that several share count once (PSS)."""
    script = (
        "systemctl is-system-running --wait >/dev/null; cat /proc/[0-9]*/smaps_rollup 2>/dev/null || true"
    )
    rows = incus.client("exec", name, "--", "sh", "-c", script).splitlines()
    return sum(int(row.split()[1]) for row in rows if row.startswith("Pss:")) / 1024


def imported_once(context: Context) -> Outcome:
    """Launch from the same image twice; check that the daemon has one image."""
    source = _golden_source(context)
    with daemon() as incus:
        for name in ("first", "second"):
            with _booted(context, source, name):
                images = len(incus.query("/images"))
    return Outcome(value=images == 1, runs=1, detail=f"images after two launches: {images}")


def first_boot(context: Context) -> Outcome:
    """Compare two user-data on the same base, in pairs, because a host's speed changes."""
    ours = _user_data_only(context)
    theirs = dataclasses.replace(ours, user_data=tutorial(context.plan), identity="tutorial")
    with daemon():
        _moments(context, ours, "warm-up")
        pairs = [
            (
                _moments(context, ours, f"ours-{number}").notebook,
                _moments(context, theirs, f"tutorial-{number}").notebook,
            )
            for number in range(context.runs)
        ]
    return Outcome(
        value=round(median(mine / other for mine, other in pairs), 3),
        runs=len(pairs),
        detail="; ".join(f"ours {mine:.1f} s, the tutorial's {other:.1f} s" for mine, other in pairs),
    )


def _user_data_only(context: Context) -> Source:
    return launch.from_plan(context.plan, "incus", context.folder, context.steps)
