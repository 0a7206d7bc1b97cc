"""`notebake launch`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from notebake.cli import options


def _image(name: str, url: str) -> Path:
    """Return the image file for --image: a path, or a reference to the catalog at `url`."""
    from notebake import paths
    from notebake.catalog.catalog import Catalog, is_reference

    if Path(name).exists() or not is_reference(name):
        return Path(name)
    catalog = Catalog(url)
    return catalog.image(catalog.find(name), paths.cache_folder() / "images")


@click.command("launch")
@click.argument("target", required=False, type=options.TargetName())
@click.option(
    "--image",
    metavar="FILE|TARGET@CHANNEL",
    help="A golden image with its record in the same folder, or a channel or version of the catalog.",
)
@options.catalog
@options.spec_file
@click.option(
    "--platform",
    type=click.Choice(["qemu", "nspawn"]),
    default="qemu",
    show_default=True,
    help="Where the machine runs: qemu (any user), or nspawn (root; only base images that are built here).",
)
@click.option("--name", help="Name and host name of the machine.  [default: TARGET-1, TARGET-2, ...]")
@click.option(
    "--port",
    "public_port",
    type=click.IntRange(1, 65535),
    help="Port on this host (qemu).  [default: the endpoint's port, or a free one if that is in use]",
)
@click.option(
    "--memory",
    "memory_mib",
    type=click.IntRange(256),
    default=2048,
    show_default=True,
    help="Memory in MiB (qemu).",
)
@click.option("--cpus", type=click.IntRange(1, 64), default=2, show_default=True, help="Processors (qemu).")
@click.option(
    "--disk",
    "disk_gib",
    type=click.IntRange(2),
    default=8,
    show_default=True,
    help="Disk size in GiB (qemu).",
)
@click.option("--offline", is_flag=True, help="Block outgoing network access.")
@click.option(
    "--timeout",
    type=click.FloatRange(1),
    default=1200,
    show_default=True,
    help="Seconds to wait for the notebook server.",
)
@options.accel
@options.as_json
def command(
    target: str | None, image: str | None, url: str, spec_path: Path, platform: Any, name: str | None,
    public_port: int | None, memory_mib: int, cpus: int, disk_gib: int, offline: bool, timeout: float,
    accel: Any, as_json: bool,
) -> None:  # fmt: skip
    """TARGET boots the base image with user-data only; --image boots a golden image. The command waits for
    the notebook server, pins the certificate that the machine prints on its console, and prints the address.

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
        raise SpecError("give either TARGET or --image FILE", "for example: notebake launch debian-13")
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
    commands = " | ".join(f"notebake {command} {machine.name}" for command in ("probe", "ssh", "stop"))
    click.echo(f"  next         {commands}")
