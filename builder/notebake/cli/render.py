"""`notebake render`."""

from __future__ import annotations

from pathlib import Path

import click

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
    help="Where user-data must fit; may be given several times.  [default: all clouds]",
)
def command(target: str, spec_path: Path, output: Path | None, clouds: tuple[str, ...]) -> None:
    """Write what TARGET is made from: user-data, meta-data, seed.iso and packer/.

    user-data is gzipped, as clouds take it; user-data.yaml is the same text to read. The same spec,
    lock and mirrors give the same bytes.
    """
    from notebake import render
    from notebake.files import write_folder

    _, plan = options.load(spec_path, target)
    output = output or Path("rendered") / target
    write_folder(output, render.files(plan, clouds=clouds or tuple(render.LIMITS)))
    size = len(render.user_data(plan))
    click.echo(f"{output}: user-data is {size:,} bytes (EC2 takes {render.LIMITS['aws']:,})")
