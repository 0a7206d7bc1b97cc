"""`notebake bake`."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from notebake import screen
from notebake.cli import options


@click.command("bake")
@click.argument("target", type=options.TargetName())
@options.spec_file
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("baked"),
    show_default=True,
    help="Folder for the image, its record and its log.",
)
@options.accel
@click.option(
    "--plugins",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    envvar="PACKER_PLUGIN_PATH",
    show_envvar=True,
    help="Folder of Packer plugins, as `packer plugins install` writes it. With it nothing is downloaded.",
)
@click.option("--force", is_flag=True, help="Bake even if no input has changed.")
@options.offline
@options.max_age
@options.as_json
def command(
    target: str,
    spec_path: Path,
    output: Path,
    accel: Any,
    plugins: Path | None,
    force: bool,
    offline: bool,
    max_age: int,
    as_json: bool,
) -> None:
    """If no input has changed since the last bake, the existing image is kept.

    A Debian base image older than --max-age is made again before a bake, but does not make a bake due.

    \b
    Examples:
      notebake bake debian-13 && notebake launch --image baked/debian-13.qcow2
      notebake bake windows-2025    # [windows] in notebake.toml names Microsoft's ISO
    """
    from notebake.bake import bake
    from notebake.progress import Steps

    _, plan = options.load(spec_path, target)
    now = datetime.now(UTC)
    baked = bake.bake(
        plan,
        output=output.resolve(),
        accel=accel,
        steps=Steps(),
        now=now,
        folder=spec_path.resolve().parent,
        plugins=plugins and plugins.resolve(),
        force=force,
        offline=offline,
        # Offline: making it again would read the package sources.
        oldest=None if offline else now - timedelta(days=max_age),
    )
    if as_json:
        record = baked.record.model_dump(mode="json")
        screen.echo(
            json.dumps({"image": str(baked.image), "created": baked.created, "record": record}, indent=2)
        )
        return
    image = baked.record.image
    state = "baked" if baked.created else "up to date, nothing to do"
    screen.echo(f"{baked.image}: {state} ({image.bytes / 1e6:.0f} MB, sha256 {image.sha256[:12]})")
