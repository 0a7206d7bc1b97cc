"""`notebake launch`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from notebake.cli import options


def _image(given: str, url: str) -> Path:
    """The file that --image means: as it is, or out of the catalog."""
    from notebake import paths
    from notebake.catalog.catalog import Catalog, is_reference

    if Path(given).exists() or not is_reference(given):
        return Path(given)
    catalog = Catalog(url)
    return catalog.image(catalog.find(given), paths.cache_folder() / "images")


@click.command("launch")
@click.argument("target", required=False, type=options.TargetName())
@click.option(
    "--image",
    metavar="FILE|TARGET@CHANNEL",
    help="A golden image with its record beside it, or one of the catalog: its channel or version.",
)
@options.catalog
@options.spec_file
@click.option(
    "--platform",
    type=click.Choice(["qemu", "nspawn"]),
    default="qemu",
    show_default=True,
    help="Where the machine runs: qemu (any user), nspawn (root, a target whose base image is made here).",
)
@click.option("--name", help="The machine's name and host name.  [default: TARGET-1, TARGET-2, ...]")
@click.option("--port", "public_port", type=click.IntRange(1, 65535),
              help="Port on this computer (qemu).  [default: the endpoint's, or a free one when it is used]")  # fmt: skip
@click.option(
    "--memory", "memory_mib", type=click.IntRange(256), default=2048, show_default=True, help="MiB (qemu)."
)
@click.option("--cpus", type=click.IntRange(1, 64), default=2, show_default=True, help="Processors (qemu).")
@click.option("--disk", "disk_gib", type=click.IntRange(2), default=8, show_default=True, help="GiB (qemu).")
@click.option("--offline", is_flag=True, help="Give the machine no way out.")
@click.option(
    "--timeout",
    type=click.FloatRange(1),
    default=1200,
    show_default=True,
    help="Seconds until it must answer.",
)
@options.accel
@options.as_json
def command(
    target: str | None, image: str | None, url: str, spec_path: Path, platform: Any, name: str | None, public_port: int | None,
    memory_mib: int, cpus: int, disk_gib: int, offline: bool, timeout: float, accel: Any, as_json: bool,
) -> None:  # fmt: skip
    """Start a machine: a plain TARGET with user-data alone, or a golden --image. Waits until its notebook
    answers, pins the certificate that its console names, and prints the address.

    \b
    Examples:
      notebake launch debian-13
      notebake launch --image baked/debian-13.qcow2
      notebake launch --image debian-13@stable
      notebake launch debian-13 --platform nspawn    # seconds instead of minutes; needs root
    """
    from notebake import launch
    from notebake.errors import SpecError
    from notebake.machines.lifecycle import token
    from notebake.progress import Steps

    if (target is None) == (image is None):
        raise SpecError("give a TARGET, or --image FILE", "notebake launch debian-13")
    steps = Steps()
    if image is not None:
        source = launch.from_image(_image(image, url), spec_path)
    else:
        _, plan = options.load(spec_path, str(target))
        source = launch.from_plan(plan, platform, spec_path.resolve().parent, steps)
    settings = {
        "platform": platform, "public_port": public_port, "memory_mib": memory_mib, "cpus": cpus,
        "disk_gib": disk_gib, "offline": offline, "limit": timeout, "accel": accel,
    }  # fmt: skip
    machine = launch.launch_machine(source, name=name, steps=steps, settings=settings)
    secret = token(machine)
    if as_json:
        row = {"name": machine.name, "url": machine.url, "fingerprint": machine.fingerprint, "token": secret}
        click.echo(json.dumps(row, indent=2))
        return
    click.echo(f"\n{machine.name} serves notebooks at {machine.url}")
    click.echo(f"  certificate  SHA256 {machine.fingerprint}")
    click.echo(f"  log in with  {f'the token {secret}' if secret else 'your password'}")
    click.echo(
        f"  next         notebake probe {machine.name} | notebake ssh {machine.name} | notebake stop {machine.name}"
    )
