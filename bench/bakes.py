"""Bakes: ours against a plain Packer shell script, and the bake that has nothing to do."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from unittest import mock

from bench.images import fixture
from bench.rows import Outcome, Promise
from bench.workshop import TARGET, Workshop
from notebake import process
from notebake.bake import bake as baking
from notebake.bake import environment, inputs
from notebake.files import RenderedFile, sha256
from notebake.plan.plan import Plan
from notebake.progress import Steps
from notebake.provision import files as provision
from notebake.provision.files import Payload
from notebake.record import record
from notebake.render import output

BAKE = Promise(name="bake", what="bake / a plain Packer shell script with apt and pip", target=0.6)
UNCHANGED = Promise(name="unchanged", what="a bake with nothing changed", target=1.0, unit=" s")

_PLAIN = Path(__file__).resolve().parent / "data/plain.sh"
_REPLACED = "scripts/install.sh"
_FETCH = "fetch the wheels"
_COMMAND_RUNS = 7


def bake(workshop: Workshop) -> Outcome:
    """The same base, template, sealing and compression; only the script that installs differs."""
    workshop.base()
    pairs = []
    payload = provision.build(workshop.plan)
    for _ in range(workshop.runs):
        # From an empty cache: ours makes the environment before Packer starts, the plain script in the machine.
        shutil.rmtree(environment.folder(workshop.plan, payload), ignore_errors=True)
        ours = _seconds(workshop, workshop.baked)
        with mock.patch.object(output, "packer_files", _plain_files(workshop.plan, payload)):
            plain = _seconds(workshop, workshop.folder / "plain")
        shutil.rmtree(workshop.folder / "plain")
        pairs.append((ours, plain))
    return Outcome(
        value=round(median(ours / plain for ours, plain in pairs), 3),
        runs=len(pairs),
        detail="; ".join(f"ours {ours:.1f} s, plain {plain:.1f} s" for ours, plain in pairs),
    )


def _plain_files(plan: Plan, payload: Payload) -> mock.Mock:
    """`render.packer_files` with the plain script in place of ours; an error when there is none to replace."""
    files = output.packer_files(plan, payload)
    if _REPLACED not in (each.path for each in files):
        raise RuntimeError(
            f"{_REPLACED}: not in the template any more; bench/bakes.py must learn its new name"
        )
    plain = [
        dataclasses.replace(each, data=_PLAIN.read_bytes()) if each.path == _REPLACED else each
        for each in files
    ]
    return mock.Mock(spec=output.packer_files, return_value=tuple[RenderedFile, ...](plain))


def _seconds(workshop: Workshop, output: Path) -> float:
    """A forced bake into `output`. Fetching wheels is taken out: on a second bake they are in the cache."""
    steps = Steps(console=workshop.steps.console)
    started = time.monotonic()
    baking.bake(workshop.plan, output=output, accel="auto", steps=steps, now=datetime.now(UTC), force=True)
    taken = time.monotonic() - started
    return taken - sum(seconds for title, seconds in steps.taken if title == _FETCH)


def unchanged(workshop: Workshop) -> Outcome:
    """The whole command, from the start of its process to its end."""
    stand_in = not (workshop.baked / f"{TARGET}.qcow2").exists()
    if stand_in:
        _stand_in(workshop)
    argv: list[str | Path] = [Path(sys.executable).with_name("notebake"), "bake", TARGET]
    argv += ["--spec", workshop.spec, "--output", workshop.baked]
    taken = []
    for _ in range(_COMMAND_RUNS):
        started = time.monotonic()
        said = process.run(argv, timeout=600).stdout
        taken.append(time.monotonic() - started)
        if b"unchanged" not in said:
            raise RuntimeError(f"an unchanged bake did something: {process.tail(said)}")
    if stand_in:
        shutil.rmtree(workshop.baked)
    return Outcome(
        value=round(median(taken), 3),
        runs=len(taken),
        detail=f"{min(taken):.2f} to {max(taken):.2f} s"
        + (", on a stand-in image: only its size and time are looked at" if stand_in else ""),
    )


def _stand_in(workshop: Workshop) -> None:
    """An image and a record that say they are of this plan; enough for a bake that only compares."""
    image = workshop.baked / f"{TARGET}.qcow2"
    image.parent.mkdir()
    image.write_bytes(b"stand-in")
    status = image.stat()
    disk = record.Image(
        file=image.name, sha256=sha256(image), bytes=status.st_size, mtime_ns=status.st_mtime_ns
    )
    known = {
        "content_id": inputs.identify(inputs.inputs(workshop.plan, provision.build(workshop.plan))),
        "image": disk,
    }
    record.write(image, fixture(packages=0, changed=0).model_copy(update=known))
