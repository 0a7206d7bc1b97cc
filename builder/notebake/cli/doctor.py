"""`notebake doctor`."""

from __future__ import annotations

import dataclasses
import json

import click

from notebake.cli import options


@click.command("doctor")
@options.as_json
def command(as_json: bool) -> int:
    """Say what is missing on this computer, and the one command that mends it. Exit code 3 if anything is."""
    from notebake import bases, doctor
    from notebake.errors import MissingTool

    findings = doctor.examine(bases.cache())
    mend = doctor.mend(findings)
    if as_json:
        rows = [dataclasses.asdict(item) for item in findings]
        click.echo(json.dumps({"findings": rows, "mend": mend}, indent=2))
    else:
        for item in findings:
            mark = click.style("✓", fg="green") if item.ok else click.style("✗", fg="red")
            click.echo(f"{mark} {item.what:<20} {item.detail:<45} for {item.needed_for}")
        if mend:
            click.echo(f"\nto mend it:\n  {mend}")
    return 0 if all(item.ok for item in findings) else MissingTool.exit_code
