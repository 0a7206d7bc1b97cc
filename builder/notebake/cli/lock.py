"""`notebake lock`."""

from __future__ import annotations

from pathlib import Path

import click

from notebake.cli import options


@click.command("lock")
@click.argument("names", nargs=-1, type=options.TargetName(), metavar="[TARGET]...")
@options.spec_file
@click.option("--shipped", is_flag=True, hidden=True, help="Renew the locks that notebake itself ships.")
def command(names: tuple[str, ...], spec_path: Path, shipped: bool) -> None:
    """Pin the Python packages of every TARGET (all, when none is named) with hashes, in locks/.

    Commit that folder: a machine installs what it says, and nothing else.
    """
    from notebake.plan import lock, mirrors, spec, targets
    from notebake.progress import Steps

    found = spec.Spec() if shipped else spec.load(spec_path)
    folder = spec_path.resolve().parent
    chosen = [targets.get(name) for name in names] or targets.all_targets()
    sources = mirrors.resolve("host" if shipped else found.mirrors, folder)
    steps = Steps()
    made = []
    for target in chosen:
        with steps.step(f"resolve for {target.name} (Python {target.python.version})"):
            made.append((target, lock.make(found, target, sources.python)))
    for target, result in made:
        path = target.folder / lock.SHIPPED if shipped else lock.path_for(target, folder)
        lock.write(result, path)
        click.echo(f"{path}: {len(result.lines)} packages")
