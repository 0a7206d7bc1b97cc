"""`notebake lock`."""

from __future__ import annotations

from pathlib import Path

import click

from notebake.cli import options


@click.command("lock")
@click.argument("names", nargs=-1, type=options.TargetName(), metavar="[TARGET]...")
@options.spec_file
@click.option("--shipped", is_flag=True, hidden=True, help="Update the locks that notebake ships.")
def command(names: tuple[str, ...], spec_path: Path, shipped: bool) -> None:
    """Without TARGET, all targets are locked. The locks are written to locks/ in the spec's folder.

    Commit that folder: machines install exactly the packages in it.
    """
    from notebake.plan import lock, mirrors, spec, targets
    from notebake.progress import Steps

    the_spec = spec.Spec() if shipped else spec.load(spec_path)
    folder = spec_path.resolve().parent
    chosen = [targets.get(name) for name in names] or targets.all_targets()
    sources = mirrors.resolve("host" if shipped else the_spec.mirrors, folder)
    steps = Steps()
    locks = []
    for target in chosen:
        with steps.step(f"resolve for {target.name} (Python {target.python.version})"):
            locks.append((target, lock.make(the_spec, target, sources.python)))
    for target, the_lock in locks:
        path = target.folder / lock.SHIPPED if shipped else lock.path_for(target, folder)
        lock.write(the_lock, path)
        click.echo(f"{path}: {len(the_lock.lines)} packages")
