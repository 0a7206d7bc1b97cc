"""`notebake backup`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from notebake import screen
from notebake.cli import options, selection

if TYPE_CHECKING:
    from notebake.machines.backup import Manifest
    from notebake.machines.wait import Watch
    from notebake.progress import Steps


@click.command("backup")
@selection.names
@selection.everything
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file to write, of one machine; it is replaced.  [default: NAME-DATE-TIME.tar]",
)
@options.as_json
def command(patterns: tuple[str, ...], everything: bool, output: Path | None, as_json: bool) -> int:
    """The file has the notebooks, the packages that the user installed (~/.venv) and everything else in the
    home but caches. The machine must run; it goes on serving. The file may hold secrets of the user: only you
    can read it. Not on Windows.

    \b
    Examples:
      notebake backup debian-13-1
      notebake backup debian-13-1 -o monday.tar
      notebake backup 'class-*'
    """
    from notebake import webpage
    from notebake.errors import SpecError
    from notebake.machines import backup

    machines = selection.chosen(patterns, everything)
    if output is not None and len(machines) > 1:
        raise SpecError("--output is for one machine", "without it each has a file of its own, here")
    now = datetime.now(UTC)
    by_name = {machine.name: machine for machine in machines}

    def work(name: str, steps: Steps, watch: type[Watch]) -> tuple[Path, Manifest]:
        path = output or Path(f"{name}-{now:%Y%m%d-%H%M%S}.tar")
        with steps.step(f"back up {name}"):
            return path, backup.save(by_name[name], path, now=now)

    done, code = selection.each(machines, work, title="back up")
    if as_json:
        rows = [{"file": str(path), **manifest.model_dump(mode="json")} for path, manifest in done.values()]
        screen.echo(json.dumps(rows, indent=2))
        return code
    for path, manifest in done.values():
        size = webpage.size(manifest.content.size)
        screen.echo(f"{path}: {manifest.members} files and folders of {manifest.machine}, {size}")
        for line in manifest.left_out:
            screen.echo(f"  left out: {line}", err=True)
        if more := manifest.left_out_in_all - len(manifest.left_out):
            screen.echo(f"  left out: {more} more", err=True)
    return code
