"""`notebake render`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from notebake import screen
from notebake.cli import options

if TYPE_CHECKING:
    from notebake.render.include import Include


@click.command("render")
@click.argument("target", type=options.TargetName())
@options.spec_file
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write.  [default: rendered/TARGET]",
)
@click.option(
    "--cloud",
    "clouds",
    multiple=True,
    type=click.Choice(["aws", "azure", "gcp", "openstack", "local"]),
    help="Check the user-data size limit of this cloud; may be given several times.  [default: all]",
)
@click.option(
    "--include",
    "include_url",
    metavar="URL",
    help="Write the large part to include/, to be hosted at this URL (with / at its end: in this folder), "
    "and user-data that fetches it. For specs that are over a cloud's limit.",
)
@click.option(
    "--upload",
    metavar="FOLDER|URL",
    help="Copy the large part to this folder: s3://, gs://, az://, sftp:// or a local one.",
)
@click.option("--hostname", help="Host name in meta-data.  [default: assigned by the cloud]")
def command(
    target: str, spec_path: Path, output: Path | None, clouds: tuple[str, ...], include_url: str | None,
    upload: str | None, hostname: str | None,
) -> None:  # fmt: skip
    """The files are user-data, user-data.yaml, meta-data, seed.iso and packer/. user-data is gzipped, as the
    clouds accept it; user-data.yaml is the same text, readable. Windows has separate files for each cloud,
    in aws/, azure/ and gcp/, and user-data for cloudbase-init.

    The same spec, lock and mirrors give the same bytes.

    \b
    Examples:
      notebake render debian-13 --cloud aws
      notebake render debian-13 --include https://files.example.org/notebake/
      notebake render debian-13 --include https://b.s3.amazonaws.com/ --upload s3://b
    """
    from notebake.errors import SpecError
    from notebake.files import write_folder
    from notebake.render import output as render_output
    from notebake.render import user_data

    if upload is not None and include_url is None:
        raise SpecError("--upload requires --include", "machines fetch it over http(s): --include URL")
    _, plan = options.load(spec_path, target)
    output = output or Path("rendered") / target
    rendered = render_output.render(
        plan, clouds=clouds or tuple(user_data.LIMITS), hostname=hostname, include_url=include_url
    )
    write_folder(output, rendered.files)
    if rendered.included is not None:
        _host(rendered.included, output, upload)
    size, limit = user_data.sizes(rendered.user_data)["aws"]
    screen.echo(f"{output}: user-data is {size:,} bytes (limit on EC2: {limit:,})")


def _host(included: Include, output: Path, upload: str | None) -> None:
    """Copy the file to where it is to be hosted, or say that the user must."""
    from notebake.catalog.storage import Storage

    file = included.file
    if upload is None:
        screen.echo(f"{output / 'include' / file.path}: host it at {included.url}")
        return
    Storage(upload).write(file.path, file.data)
    screen.echo(f"{upload.rstrip('/')}/{file.path}: uploaded; machines fetch {included.url}")
