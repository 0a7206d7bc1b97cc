"""`notebake export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from notebake import screen
from notebake.cli import opening

if TYPE_CHECKING:
    from collections.abc import Callable

    from notebake.catalog.catalog import Catalog


@click.command("export")
@click.argument("image")
@click.option(
    "--to",
    "cloud",
    required=True,
    type=click.Choice(["azure", "aws", "gcp", "openstack", "raw"]),
    help="The cloud that will import it; raw: the plain disk, for all others.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("exported"),
    show_default=True,
    help="Folder to write to.",
)
@click.option("--force", is_flag=True, help="Replace files of an earlier export.")
@opening.reader
def command(image: str, cloud: str, output: Path, force: bool, opened: Callable[[], Catalog]) -> None:
    """IMAGE is a golden image with its record in the same folder, or TARGET@VERSION or TARGET@CHANNEL of the
    catalog. It is verified first, as by launch.

    \b
    azure      NAME.vhd     a fixed VHD of whole MiB
    aws        NAME.vmdk    stream-optimized
    gcp        NAME.tar.gz  disk.raw of whole GiB in a tar of the old GNU format
    openstack  NAME.qcow2
    raw        NAME.raw

    NAME is the target with the version, or the beginning of the content id. NAME.CLOUD.sh has the commands
    that import the disk; they are printed too. They use the cloud's own tools and your credentials: notebake
    itself contacts no cloud.

    \b
    Examples:
      notebake export baked/debian-13.qcow2 --to azure
      RESOURCE_GROUP=lab LOCATION=westeurope sh exported/debian-13-*.azure.sh
      notebake export debian-13@stable --to openstack -o /srv/images
    """
    from notebake.catalog import reference
    from notebake.export import disk
    from notebake.progress import Steps

    exported = disk.export(reference.image(image, opened), cloud, output, Steps(), force=force)
    screen.echo(f"wrote {exported.disk}")
    if exported.commands is not None:
        screen.echo(f"wrote {exported.commands}, which imports it:\n")
        screen.echo(exported.commands.read_text("utf-8"), nl=False)
