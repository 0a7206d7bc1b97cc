"""`notebake diff`."""

from __future__ import annotations

import json

import click

from notebake.cli import options


@click.command("diff")
@click.argument("old", metavar="A")
@click.argument("new", metavar="B")
@options.catalog
@click.option("--markdown", is_flag=True, help="Print Markdown, for release notes.")
@options.as_json
def command(old: str, new: str, url: str, markdown: bool, as_json: bool) -> None:
    """Show what differs from image A to image B: packages, ports, units, users, setuid files, size.

    Each is a record, an image with its record beside it, or TARGET@VERSION or TARGET@CHANNEL of the
    catalog. The version that follows is major when the OS release, Python's minor version, a port or a
    unit goes or changes; minor when a package is added or rises by a minor version; else patch.

    \b
    Examples:
      notebake diff debian-13@stable baked/debian-13.qcow2
      notebake diff debian-13@1.4.0 debian-13@1.5.0 --markdown
    """
    from notebake.catalog import reference
    from notebake.record import diff

    if markdown and as_json:
        raise click.UsageError("--markdown and --json exclude each other")
    found = diff.difference(
        reference.record(old, url),
        reference.record(new, url),
        names=(reference.title(old), reference.title(new)),
    )
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=2))
    else:
        click.echo(diff.markdown(found) if markdown else diff.text(found))
