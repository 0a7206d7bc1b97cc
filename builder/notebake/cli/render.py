"""`notebake render`."""

from __future__ import annotations

from pathlib import Path

import click

from notebake import screen
from notebake.cli import options


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
@click.option("--hostname", help="Host name in meta-data.  [default: assigned by the cloud]")
def command(
    target: str, spec_path: Path, output: Path | None, clouds: tuple[str, ...], hostname: str | None
) -> None:
    """The files are user-data, user-data.yaml, meta-data, seed.iso and packer/. user-data is gzipped, as the
    clouds accept it; user-data.yaml is the same text, readable. Windows has separate files for each cloud,
    in aws/, azure/ and gcp/, and user-data for cloudbase-init.

    The same spec, lock and mirrors give the same bytes.
    """
    from notebake.files import write_folder
    from notebake.render import output as render_output
    from notebake.render import user_data

    _, plan = options.load(spec_path, target)
    output = output or Path("rendered") / target
    rendered = render_output.render(plan, clouds=clouds or tuple(user_data.LIMITS), hostname=hostname)
    write_folder(output, rendered.files)
    size, limit = user_data.sizes(rendered.user_data)["aws"]
    screen.echo(f"{output}: user-data is {size:,} bytes (limit on EC2: {limit:,})")
