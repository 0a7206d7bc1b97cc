"""Boots: the golden image, the base image with user-data only, and the same base as in the 2013 tutorial."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from bench.context import Context
from bench.rows import Benchmark, Outcome
from bench.watch import Moments, Watcher
from notebake import launch, process
from notebake.errors import SpecError
from notebake.launch import Source
from notebake.machines import lifecycle
from notebake.machines.machine import Machine
from notebake.plan.plan import Plan
from notebake.provision import linux

GOLDEN = Benchmark(name="golden", what="golden boot: notebook ready / sshd ready", target=1.15)
FIRST_BOOT = Benchmark(
    name="first-boot", what="first boot with user-data only / as in the 2013 tutorial", target=0.4
)
MEMORY = Benchmark(name="memory", what="first boot with user-data only in 1 GiB without swap", target=True)

SMALL_MIB = 1024
# The tutorial's boot takes many minutes on an emulated processor.
_LIMIT_SECONDS = 3600.0
_TUTORIAL = Path(__file__).resolve().parent / "data/tutorial.yaml"

_numbers = itertools.count(1)

# Prints one line each: MemTotal and MemAvailable (kB), number of swap devices, number of kernel messages
# about killing for memory, how the boot ended, and set-up's memory peak as systemd logged it (with page
# cache; the property MemoryPeak is lost when the unit ends).
_MEMORY = """\
state=$(timeout 1500 systemctl is-system-running --wait || true)
awk '/^Mem(Total|Available):/ {print $2}' /proc/meminfo
tail -n +2 /proc/swaps | wc -l
sudo journalctl --dmesg --quiet --output cat | grep -ciE 'out of memory|oom-kill|oom_reaper' || true
echo "$state"
sudo journalctl --unit notebake-setup.service --output cat | grep -oE '[0-9.]+[KMG] memory peak' | tail -n 1
"""


@contextlib.contextmanager
def _booted(context: Context, source: Source, **settings: Any) -> Iterator[tuple[Machine, Moments]]:
    """Launch a machine that serves its notebook, yield it and its moments, and delete it."""
    name = f"bench-{next(_numbers)}"
    settings = {"platform": "qemu", "limit": _LIMIT_SECONDS, **settings}
    try:
        with Watcher(name) as watcher:
            machine = launch.launch_machine(source, name=name, steps=context.steps, settings=settings)
            yield machine, watcher.moments()
    finally:
        # A failed launch keeps its machine for debugging: not needed here. The disk needs no clean shutdown.
        with contextlib.suppress(SpecError):
            lifecycle.delete(name)


def notebook_over_sshd(boots: Sequence[Moments]) -> Outcome:
    """Return the median of notebook / sshd."""
    return Outcome(
        value=round(median(boot.notebook / boot.sshd for boot in boots), 3),
        runs=len(boots),
        detail="; ".join(f"notebook {boot.notebook:.1f} s, sshd {boot.sshd:.1f} s" for boot in boots),
    )


def golden(context: Context) -> Outcome:
    """Compare when the notebook and when sshd answers, in the same boot of a golden image."""
    source = launch.from_image(context.image(), context.spec)
    boots = []
    for _ in range(context.runs):
        with _booted(context, source) as (_, moments):
            boots.append(moments)
    return notebook_over_sshd(boots)


def first_boot(context: Context) -> Outcome:
    """Compare two user-data on the same base and machine; in pairs, because a host's speed changes."""
    ours = _user_data_only(context)
    theirs = dataclasses.replace(ours, user_data=tutorial(context.plan), identity="tutorial")
    pairs = []
    for _ in range(context.runs):
        taken = []
        for source in (ours, theirs):
            with _booted(context, source) as (_, moments):
                taken.append(moments.notebook)
        pairs.append((taken[0], taken[1]))
    return Outcome(
        value=round(median(mine / other for mine, other in pairs), 3),
        runs=len(pairs),
        detail="; ".join(f"ours {mine:.1f} s, the tutorial's {other:.1f} s" for mine, other in pairs),
    )


def memory(context: Context) -> Outcome:
    """Check that the first boot succeeds in 1 GiB: the notebook answers and nothing was killed."""
    source = _user_data_only(context)
    with _booted(context, source, memory_mib=SMALL_MIB) as (machine, moments):
        output = process.run(machine.ssh.argv(_MEMORY), timeout=1800).stdout.decode()
    total, available, swaps, killed, state, *peak = output.splitlines()
    small = int(total) <= SMALL_MIB * 1024
    return Outcome(
        value=small and swaps == "0" and killed == "0",
        runs=1,
        detail=f"notebook {moments.notebook:.1f} s; {int(total) // 1024} MiB, {swaps} swap devices; "
        f"{int(available) // 1024} MiB available afterwards; "
        f"set-up with page cache: {peak[0] if peak else 'peak unknown'}; "
        f"{killed} kernel messages about killing for memory; state of the boot: {state}",
    )


def _user_data_only(context: Context) -> Source:
    return launch.from_plan(context.plan, "qemu", context.folder, context.steps)


def tutorial(plan: Plan) -> bytes:
    """Return the tutorial's user-data, with the same package mirror as ours."""
    config = yaml.safe_load(_TUTORIAL.read_text("utf-8")) | linux.cloud_settings(plan)
    if (plan.sources.apt or "").startswith("https:") and plan.sources.ca_certificates:
        config["ca_certs"] = {"trusted": list(plan.sources.ca_certificates)}
    return f"#cloud-config\n{json.dumps(config, indent=1)}\n".encode()
