"""`notebake targets`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from notebake import screen
from notebake.cli import options


@click.command("targets")
@click.option(
    "-s",
    "--spec",
    "spec_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Only the `targets` of this spec file; if it names none, the tested ones.",
)
@options.as_json
def command(spec_path: Path | None, as_json: bool) -> None:
    """Tested: this project's own tests bake it and launch it on real machines.

    \b
    Examples:
      notebake targets
      notebake targets --spec notebake.toml --json
    """
    from notebake.plan import spec, targets

    listed = targets.chosen(spec.load(spec_path).targets) if spec_path else targets.all_targets()
    if as_json:
        rows = [target.model_dump(mode="json", exclude={"folder"}) for target in listed]
        screen.echo(json.dumps(rows, indent=2))
        return
    from notebake import terminal

    table = terminal.table("target", "system", "python", "firewall", "base image", "tested")
    bases = {"mmdebstrap": "built here", "download": "downloaded", "windows-media": "from your ISO"}
    for target in listed:
        tested = "yes" if target.tested else "no"
        base = bases[target.base.kind]
        table.add_row(target.name, target.title, target.python.version, target.firewall, base, tested)
    terminal.console().print(table)
