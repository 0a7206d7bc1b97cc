"""`notebake report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from notebake import screen
from notebake.cli import opening, options

if TYPE_CHECKING:
    from collections.abc import Callable

    from notebake.catalog.catalog import Catalog


@click.command("report")
@click.argument("image", required=False)
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
    help="HTML file to write.  [default: report.html; without IMAGE: catalog.html]",
)
@opening.reader
def command(
    image: str | None, before: str | None, screenshot: Path | None, output: Path | None,
    opened: Callable[[], Catalog],
) -> None:  # fmt: skip
    """IMAGE is a record, an image with a record in the same folder, or TARGET@VERSION or TARGET@CHANNEL of
    the catalog.

    Without IMAGE, the page is on the whole catalog: the versions and channels of each target over time, size
    and time to notebook, packages by size, known vulnerabilities, the difference of any two versions.
    Signatures are verified first; disks are not read. Damaged versions are shown, and the exit code is 7.

    \b
    Examples:
      notebake report debian-13@stable --screenshot screenshots/4-plot.png -o stable.html
      notebake report -o catalog.html
    """
    if image is None:
        if before or screenshot:
            raise click.UsageError(f"{'--before' if before else '--screenshot'} requires IMAGE")
        _catalog(opened(), output or Path("catalog.html"))
    else:
        _image(image, before, screenshot, opened, output or Path("report.html"))


def _catalog(catalog: Catalog, output: Path) -> None:
    from notebake.catalog.page import history, page
    from notebake.errors import RecordError, SpecError
    from notebake.files import write_whole

    histories = history.read(catalog)
    if not histories:
        raise SpecError(
            f"{catalog.storage.url}: no versions to report on",
            "`notebake catalog add` adds one; --catalog names another catalog",
        )
    write_whole(output, page.render(histories, verified=catalog.trust is not None))
    count = sum(len(each.versions) for each in histories)
    versions, targets = options.counted(count, "version"), options.counted(len(histories), "target")
    screen.echo(f"wrote {output}: {versions} of {targets}")
    if problems := page.problems(histories):
        raise RecordError("\n".join(problems), f"{output} shows them; everything else is as it should be")


def _image(
    image: str, before: str | None, screenshot: Path | None, opened: Callable[[], Catalog], output: Path,
) -> None:  # fmt: skip
    from notebake.catalog import reference
    from notebake.errors import SpecError
    from notebake.files import write_whole
    from notebake.record import diff, page

    record = reference.record(image, opened)
    before = before or reference.before(image, opened)
    difference = None
    if before:
        names = (reference.title(before), reference.title(image))
        difference = diff.difference(reference.record(before, opened), record, names=names)
    picture = screenshot.read_bytes() if screenshot else None
    if picture is not None and not picture.startswith(b"\x89PNG"):
        raise SpecError(f"{screenshot}: not a PNG image")
    write_whole(output, page.render(record, difference=difference, screenshot=picture))
    screen.echo(f"wrote {output}")
