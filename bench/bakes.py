"""Bakes: notebake's against a plain Packer shell script, and one with nothing changed."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from unittest import mock

from bench.context import TARGET, Context
from bench.images import fixture
from bench.rows import Benchmark, Outcome
from notebake import process
from notebake.bake import bake as baking
from notebake.bake import chroot, disk, environment, inputs
from notebake.bases import base as bases
from notebake.bases import mmdebstrap, releases
from notebake.files import RenderedFile, sha256
from notebake.plan.plan import Plan
from notebake.progress import Steps
from notebake.provision import files as provision
from notebake.provision.files import Payload
from notebake.record import record
from notebake.render import output

BAKE = Benchmark(name="bake", what="bake / a plain Packer shell script with apt and pip", target=0.25)
SIZE = Benchmark(
    name="size",
    what="golden image over its base, compressed / the same packages by apt over the same base",
    target=1.0,
)
UNCHANGED = Benchmark(name="unchanged", what="a bake with nothing changed", target=1.0, unit=" s")

_PLAIN = Path(__file__).resolve().parent / "data/plain.sh"
_REPLACED = "scripts/install.sh"
_FETCH = "fetch the wheels"
_COMMAND_RUNS = 7
# The spec's packages by their names in Debian.
_APT = """\
export DEBIAN_FRONTEND=noninteractive
apt-get -q update
apt-get -qy --no-install-recommends dist-upgrade
apt-get -qy --no-install-recommends install jupyter-notebook python3-ipykernel python3-ipywidgets \
  python3-numpy python3-scipy python3-matplotlib python3-pandas
apt-get -qy -o APT::Protect-Kernels=0 autoremove --purge
apt-get clean
rm -rf /var/lib/apt/lists/* /var/log/*
"""


def bake(context: Context) -> Outcome:
    """Compare two bakes with the same base, template, sealing and compression, but another install script.

    Both upgrade all packages. The plain one starts from the base image, ours from the disk that it prepares.
    """
    context.base()
    pairs = []
    payload = provision.build(context.plan)
    for _ in range(context.runs):
        # Without a cached environment: the plain script has none either.
        shutil.rmtree(environment.folder(context.plan, payload), ignore_errors=True)
        ours = _seconds(context, context.baked)
        with (
            mock.patch.object(output, "packer_files", _plain_files(context.plan, payload)),
            mock.patch.object(disk, "make", mock.Mock(spec=disk.make, return_value=context.base())),
        ):
            plain = _seconds(context, context.folder / "plain")
        shutil.rmtree(context.folder / "plain")
        pairs.append((ours, plain))
    return Outcome(
        value=round(median(ours / plain for ours, plain in pairs), 3),
        runs=len(pairs),
        detail="; ".join(f"ours {ours:.1f} s, plain {plain:.1f} s" for ours, plain in pairs),
    )


def _plain_files(plan: Plan, payload: Payload) -> mock.Mock:
    """Return `output.packer_files` with the plain script instead of ours. RuntimeError if ours is missing."""
    files = output.packer_files(plan, payload)
    if _REPLACED not in (file.path for file in files):
        raise RuntimeError(f"{_REPLACED}: not in the template; correct its name in bench/bakes.py")
    plain = [
        dataclasses.replace(file, data=_PLAIN.read_bytes()) if file.path == _REPLACED else file
        for file in files
    ]
    return mock.Mock(spec=output.packer_files, return_value=tuple[RenderedFile, ...](plain))


def _seconds(context: Context, output: Path) -> float:
    """Return the time of a forced bake, without downloading wheels: the second bake has them in the cache."""
    steps = Steps(console=context.steps.console)
    started = time.monotonic()
    baking.bake(context.plan, output=output, accel="auto", steps=steps, now=datetime.now(UTC), force=True)
    taken = time.monotonic() - started
    return taken - sum(seconds for title, seconds in steps.taken if title == _FETCH)


def size(context: Context) -> Outcome:
    """Compare sizes: how much larger than the base image each of both is."""
    golden, base = context.image().stat().st_size, context.base().stat().st_size
    log = context.folder / "apt.log"
    log.touch()
    tree, tar, image = (context.folder / name for name in ("apt", "apt.tar", "apt.qcow2"))
    mmdebstrap.unpack(bases.root(context.plan, context.steps, log), tree, log)
    chroot.run(tree, ["sh", "-euc", _APT], settings=chroot.proxies(), timeout=1800, log=log)
    process.run(["tar", "-C", tree, "--numeric-owner", "--xattrs", "-cf", tar, "."], timeout=600, log=log)
    mmdebstrap.make_disk(
        root=tar, size_mib=4096, destination=image, log=log,
        grub_config=context.plan.target.folder / "base/grub-early.cfg",
    )  # fmt: skip
    ours, apt = golden - base, image.stat().st_size - base
    for path in (tar, image):
        path.unlink()
    shutil.rmtree(tree)
    return Outcome(
        value=round(ours / apt, 3),
        runs=1,
        detail=f"{ours / 1e6:.0f} MB and {apt / 1e6:.0f} MB more than the base image of {base / 1e6:.0f} MB",
    )


def unchanged(context: Context) -> Outcome:
    """Time the whole command, from the start of its process to its end."""
    stand_in = not (context.baked / f"{TARGET}.qcow2").exists()
    if stand_in:
        _stand_in(context)
    argv: list[str | Path] = [Path(sys.executable).with_name("notebake"), "bake", TARGET]
    argv += ["--spec", context.spec, "--output", context.baked]
    taken = []
    for _ in range(_COMMAND_RUNS):
        started = time.monotonic()
        output = process.run(argv, timeout=600).stdout
        taken.append(time.monotonic() - started)
        if b"unchanged" not in output:
            raise RuntimeError(f"the bake did not report `unchanged`: {process.tail(output)}")
    if stand_in:
        shutil.rmtree(context.baked)
    return Outcome(
        value=round(median(taken), 3),
        runs=len(taken),
        detail=f"{min(taken):.2f} to {max(taken):.2f} s"
        + (", with a stand-in image, of which only size and time are read" if stand_in else ""),
    )


def _stand_in(context: Context) -> None:
    """Write an image and a record of this plan, enough for a bake that only compares."""
    image = context.baked / f"{TARGET}.qcow2"
    image.parent.mkdir()
    image.write_bytes(b"stand-in")
    status = image.stat()
    disk = record.Image(
        file=image.name, sha256=sha256(image), bytes=status.st_size, mtime_ns=status.st_mtime_ns
    )
    known = {
        "content_id": inputs.identify(
            inputs.inputs(context.plan, provision.build(context.plan), releases.read(context.plan))
        ),
        "image": disk,
    }
    record.write(image, fixture(packages=0, changed=0).model_copy(update=known))
