"""`notebake doctor`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click

from notebake.cli import options


@click.command("doctor")
@options.spec_file
@options.as_json
def command(spec_path: Path, as_json: bool) -> int:
    """Exit code 3 if a tool is missing. If [windows] in the spec names an ISO, it is checked too."""
    from notebake import doctor, paths
    from notebake.errors import MissingTool
    from notebake.plan import spec

    findings = doctor.examine(paths.cache_folder())
    if spec_path.exists():
        findings += doctor.examine_windows(spec.load(spec_path).windows, spec_path.resolve().parent)
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
