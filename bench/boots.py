"""Boots: the golden image, the plain base with user-data alone, and the same base the tutorial's way."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from bench.rows import Outcome, Promise
from bench.watch import Moments, Watcher
from bench.workshop import Workshop
from notebake import launch, process
from notebake.errors import SpecError
from notebake.launch import Source
from notebake.machines import lifecycle
from notebake.machines.machine import Machine
from notebake.plan.plan import Plan
from notebake.provision import linux

GOLDEN = Promise(name="golden", what="golden boot: notebook ready / sshd ready", target=1.15)
FIRST_BOOT = Promise(
    name="first-boot", what="first boot with user-data only / the tutorial's own way", target=0.4
)
MEMORY = Promise(name="memory", what="first boot with user-data only in 1 GiB without swap", target=True)

SMALL_MIB = 1024
# The tutorial's way takes many minutes where the processor is emulated.
_LIMIT_SECONDS = 3600.0
_TUTORIAL = Path(__file__).resolve().parent / "data/tutorial.yaml"

_numbers = itertools.count(1)

# One line each, in this order: MemTotal and MemAvailable (kB), swap devices, kernel lines about killing
# for memory, how the boot ended, and what systemd says of the set-up's peak (page cache counts there; the
# property MemoryPeak is gone with the ended unit, the journal's line is not).
_ASK = """\
state=$(timeout 1500 systemctl is-system-running --wait || true)
awk '/^Mem(Total|Available):/ {print $2}' /proc/meminfo
tail -n +2 /proc/swaps | wc -l
sudo journalctl --dmesg --quiet --output cat | grep -ciE 'out of memory|oom-kill|oom_reaper' || true
echo "$state"
sudo journalctl --unit notebake-setup.service --output cat | grep -oE '[0-9.]+[KMG] memory peak' | tail -n 1
"""


@contextlib.contextmanager
def _booted(workshop: Workshop, source: Source, **settings: Any) -> Iterator[tuple[Machine, Moments]]:
    """A machine that serves its notebook, and when it began to; gone afterwards."""
    name = f"bench-{next(_numbers)}"
    wanted = {"platform": workshop.platform, "limit": _LIMIT_SECONDS, **settings}
    try:
        with Watcher(name) as watcher:
            machine = launch.launch_machine(source, name=name, steps=workshop.steps, settings=wanted)
            yield machine, watcher.moments()
    finally:
        # A failed launch keeps a machine that can be logged in to: nobody would look here. No polite
        # end either: the disk is thrown away.
        with contextlib.suppress(SpecError):
            lifecycle.stop(name, seconds=0)


def golden(workshop: Workshop) -> Outcome:
    """How much later than sshd the notebook answers, in the same boot of a baked image."""
    source = launch.from_image(workshop.image(), workshop.spec)
    seen = []
    for _ in range(workshop.runs):
        with _booted(workshop, source) as (_, moments):
            seen.append(moments)
    return Outcome(
        value=round(median(each.notebook / each.sshd for each in seen), 3),
        runs=len(seen),
        detail="; ".join(f"notebook {each.notebook:.1f} s, sshd {each.sshd:.1f} s" for each in seen),
    )


def first_boot(workshop: Workshop) -> Outcome:
    """The same base, the same machine, two user-data; in pairs, because hosts change their speed."""
    ours = _user_data_only(workshop)
    theirs = dataclasses.replace(ours, user_data=tutorial(workshop.plan), identity="tutorial")
    pairs = []
    for _ in range(workshop.runs):
        taken = []
        for source in (ours, theirs):
            with _booted(workshop, source) as (_, moments):
                taken.append(moments.notebook)
        pairs.append((taken[0], taken[1]))
    return Outcome(
        value=round(median(mine / other for mine, other in pairs), 3),
        runs=len(pairs),
        detail="; ".join(f"ours {mine:.1f} s, the tutorial's {other:.1f} s" for mine, other in pairs),
    )


def memory(workshop: Workshop) -> Outcome:
    """Whether the first boot comes to its end in 1 GiB: the notebook answers and nothing was killed."""
    source = _user_data_only(workshop)
    with _booted(workshop, source, memory_mib=SMALL_MIB) as (machine, moments):
        said = process.run(machine.ssh.argv(_ASK), timeout=1800).stdout.decode()
    total, available, swaps, killed, state, *peak = said.splitlines()
    # An nspawn machine has the host's memory: there the question makes no sense.
    small = workshop.platform == "qemu" and int(total) <= SMALL_MIB * 1024
    return Outcome(
        value=small and swaps == "0" and killed == "0",
        runs=1,
        detail=f"notebook {moments.notebook:.1f} s; {int(total) // 1024} MiB, {swaps} swap devices; "
        f"{int(available) // 1024} MiB available afterwards; set-up with page cache: {peak[0] if peak else 'peak unknown'}; "
        f"{killed} kernel lines about killing for memory; boot ended as {state}",
    )


def _user_data_only(workshop: Workshop) -> Source:
    return launch.from_plan(workshop.plan, workshop.platform, workshop.folder, workshop.steps)


def tutorial(plan: Plan) -> bytes:
    """The tutorial's user-data, with the same package mirror that ours is given."""
    config = yaml.safe_load(_TUTORIAL.read_text("utf-8")) | linux.cloud_settings(plan)
    if (plan.sources.apt or "").startswith("https:") and plan.sources.ca_certificates:
        config["ca_certs"] = {"trusted": list(plan.sources.ca_certificates)}
    return f"#cloud-config\n{json.dumps(config, indent=1)}\n".encode()
