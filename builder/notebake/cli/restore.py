"""`notebake restore`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from notebake import screen
from notebake.cli import options


@click.command("restore")
@click.argument("name", type=options.MachineName())
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@options.as_json
def command(name: str, file: Path, as_json: bool) -> None:
    """FILE is from `notebake backup`. Its files replace those of the same name; other files stay. The whole
    file is checked first, and nothing changes on the machine before all of it has arrived. The machine must
    run. Reload open pages, and restart kernels to use the packages.

    The packages that the user installed are left out, and the command says so, if the machine has another
    system, Python or processor: install them again.

    \b
    Example:
      notebake restore debian-13-2 debian-13-1-20261201-120000.tar
    """
    from notebake.machines import backup
    from notebake.machines import machine as record
    from notebake.progress import Steps

    machine = record.load(name)
    with Steps().step(f"restore {name}"):
        facts = backup.restore(machine, file)
    if as_json:
        screen.echo(json.dumps({"name": name, **facts}, indent=2))
        return
    screen.echo(f"{name}: {facts['members']} files and folders restored")
    if why := facts["layer_left_out"]:
        screen.echo(f"  left out: the packages in ~/.venv: {why}; install them again with %pip", err=True)
