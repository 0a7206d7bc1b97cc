"""`notebake diff`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from notebake import screen
from notebake.cli import opening, options

if TYPE_CHECKING:
    from collections.abc import Callable

    from notebake.catalog.catalog import Catalog


@click.command("diff")
@click.argument("old", metavar="A")
@click.argument("new", metavar="B")
@opening.reader
@click.option("--markdown", is_flag=True, help="Print Markdown, for release notes.")
@options.as_json
def command(old: str, new: str, opened: Callable[[], Catalog], markdown: bool, as_json: bool) -> None:
    """A and B are records, images with a record in the same folder, or TARGET@VERSION or TARGET@CHANNEL of
    the catalog. The output lists the differences in packages, ports, units, users, setuid files and size.

    The bump is major if the OS release or Python's minor version differs, or if a port or a unit was removed
    or changed; minor if a package was added, or upgraded to another minor version; otherwise patch.

    \b
    Examples:
      notebake diff debian-13@stable baked/debian-13.qcow2
      notebake diff debian-13@1.4.0 debian-13@1.5.0 --markdown
    """
    from notebake.catalog import reference
    from notebake.record import diff

    if markdown and as_json:
        raise click.UsageError("--markdown and --json cannot be used together")
    difference = diff.difference(
        reference.record(old, opened),
        reference.record(new, opened),
        names=(reference.title(old), reference.title(new)),
    )
    if as_json:
        screen.echo(json.dumps(difference.to_dict(), indent=2))
    else:
        screen.echo(diff.markdown(difference) if markdown else diff.text(difference))
