"""`notebake report`."""

from __future__ import annotations

from pathlib import Path

import click

from notebake.cli import options


@click.command("report")
@click.argument("image")
@click.option("--before", help="The image to compare with.  [default: the previous version in the catalog]")
@click.option(
    "--screenshot",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Screenshot of the notebook (PNG): 4-plot.png of `notebake probe --browser`.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("report.html"),
    show_default=True,
    help="HTML file to write.",
)
@options.catalog
def command(image: str, before: str | None, screenshot: Path | None, output: Path, url: str) -> None:
    """IMAGE is a record, an image with a record in the same folder, or TARGET@VERSION or TARGET@CHANNEL of
    the catalog.

    \b
    Example:
      notebake report debian-13@stable --screenshot screenshots/4-plot.png -o stable.html
    """
    from notebake.catalog import reference
    from notebake.errors import SpecError
    from notebake.files import write_whole
    from notebake.record import diff, page

    record = reference.record(image, url)
    before = before or reference.before(image, url)
    difference = None
    if before:
        names = (reference.title(before), reference.title(image))
        difference = diff.difference(reference.record(before, url), record, names=names)
    picture = screenshot.read_bytes() if screenshot else None
    if picture is not None and not picture.startswith(b"\x89PNG"):
        raise SpecError(f"{screenshot}: not a PNG image")
    write_whole(output, page.render(record, difference=difference, screenshot=picture))
    click.echo(f"wrote {output}")
