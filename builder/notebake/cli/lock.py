"""`notebake lock`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from notebake import screen
from notebake.cli import options

if TYPE_CHECKING:
    from notebake.plan.mirrors import Sources
    from notebake.plan.spec import Spec
    from notebake.plan.targets import Download, Target


@click.command("lock")
@click.argument("names", nargs=-1, type=options.TargetName(), metavar="[TARGET]...")
@options.spec_file
@click.option("--bases", is_flag=True, help="Lock the newest base images instead of the Python packages.")
@click.option("--shipped", is_flag=True, hidden=True, help="Update the locks that notebake ships.")
def command(names: tuple[str, ...], spec_path: Path, bases: bool, shipped: bool) -> None:
    """Without TARGET, all targets are locked. The locks are written to locks/ in the spec's folder.

    Commit that folder: machines install exactly the packages in it.

    With --bases, the newest base image of each target's project is locked by its SHA-256, after its
    signature has been verified. That is for targets whose base image is downloaded, unless notebake.toml
    names another one.

    \b
    Examples:
      notebake lock
      notebake lock --bases ubuntu-24.04
    """
    from notebake.plan import mirrors, spec, targets

    the_spec = spec.Spec() if shipped else spec.load(spec_path)
    folder = spec_path.resolve().parent
    chosen = [targets.get(name) for name in names] or targets.all_targets()
    sources = mirrors.resolve("host" if shipped else the_spec.mirrors, folder)
    if bases:
        _bases(the_spec, chosen, folder, sources, named=bool(names), shipped=shipped)
    else:
        _packages(the_spec, chosen, folder, sources, shipped=shipped)


def _packages(spec: Spec, chosen: Sequence[Target], folder: Path, sources: Sources, *, shipped: bool) -> None:
    from notebake.plan import lock
    from notebake.progress import Steps

    steps = Steps()
    locks = []
    for target in chosen:
        with steps.step(f"resolve for {target.name} (Python {target.python.version})"):
            locks.append((target, lock.make(spec, target, sources.python)))
    for target, the_lock in locks:
        path = target.folder / lock.SHIPPED if shipped else lock.path_for(target, folder)
        lock.write(the_lock, path)
        screen.echo(f"{path}: {len(the_lock.lines)} packages")


def _bases(
    spec: Spec, chosen: Sequence[Target], folder: Path, sources: Sources, *, named: bool, shipped: bool
) -> None:
    from notebake.bases import newest, web
    from notebake.errors import SpecError
    from notebake.plan import base_lock
    from notebake.plan.targets import Download
    from notebake.progress import Steps

    steps = Steps()
    context = web.context(sources.ca_certificates)
    found = []
    for target in chosen:
        base = target.base
        reason = None
        if not isinstance(base, Download):
            reason = "its base image is not downloaded"
        elif target.name in spec.base:
            reason = "notebake.toml names its base image"
        elif shipped and base.sha256 is None:
            reason = "its image has no dated name, and its signed digest is read at each use"
        if reason and named:
            raise SpecError(f"{target.name}: {reason}, so there is nothing to lock")
        if reason or not isinstance(base, Download):
            continue
        current = base if shipped else base_lock.load(target, folder) or base
        with steps.step(f"find the newest base image of {target.name}"):
            found.append((target, current, newest.find(base, current, context=context, say=steps.note)))
    if not found:
        screen.echo(
            "nothing to lock: no base image of these targets is downloaded from its project", err=True
        )
    for target, current, new in found:
        path = target.folder / "target.toml" if shipped else base_lock.path_for(target, folder)
        if shipped:
            base_lock.write_shipped(new, target)
        else:
            base_lock.write(new, path)
        _show(path, current, new)


def _show(path: Path, current: Download, new: Download) -> None:
    """Print what changed between two base images."""
    from notebake.bases import newest

    before, after = newest.day(current.url) or current.date, new.date
    if current.sha256 == new.sha256:
        screen.echo(f"{path}: the image of {after} is still the newest")
        return
    screen.echo(f"{path}: {before or 'unpinned'} -> {after}")
    for name in ("url", "sha256"):
        old = getattr(current, name)
        if old != getattr(new, name):
            screen.echo(f"  - {name} {old or 'none'}")
            screen.echo(f"  + {name} {getattr(new, name)}")
