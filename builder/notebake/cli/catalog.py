"""`notebake catalog`."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from notebake.cli import options

if TYPE_CHECKING:
    from notebake.catalog.signing import Signer, Verifier


@click.group("catalog")
def command() -> None:
    """Keep images as versions, signed, whole or not there.

    \b
    Examples:
      notebake catalog key notebake.key
      notebake catalog add baked/debian-13.qcow2 --probe probe.json --key notebake.key
      notebake catalog verify --public-key notebake.key.pub
    """


@command.command("key")
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
def key(path: Path) -> None:
    """Make a key pair to sign with: PATH, which nobody else may see, and PATH.pub, which everybody may."""
    from notebake.catalog import signing

    click.echo(f"wrote {path} (keep it secret) and {signing.make_key(path)} (give it away)")


@command.command("add")
@click.argument("image", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--probe",
    "probe_path",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="What `notebake probe --json` printed: without it, the image cannot be promoted.",
)
@options.catalog
@options.signer
@options.as_json
def add(image: Path, probe_path: Path | None, url: str, signer: Signer, as_json: bool) -> None:
    """Put IMAGE, with the record beside it, into the catalog; its version follows from what changed.

    The very image that is the newest already is not added again.
    """
    from notebake.catalog import add
    from notebake.catalog.catalog import Catalog
    from notebake.record import record

    probe = record.parse_probe(probe_path.read_bytes(), source=str(probe_path)) if probe_path else None
    added = add.add(Catalog(url), image, signer=signer, now=datetime.now(UTC), probe=probe)
    if as_json:
        click.echo(json.dumps({"fresh": added.fresh} | added.entry.model_dump(mode="json"), indent=2))
    else:
        click.echo(f"{added.entry.name}: {'added' if added.fresh else 'there already, nothing to do'}")


@command.command("list")
@click.argument("target", required=False, type=options.TargetName())
@options.catalog
@options.as_json
def list_(target: str | None, url: str, as_json: bool) -> None:
    """List the versions, of one TARGET or of all, and the channels that point to them."""
    from notebake.catalog import channels
    from notebake.catalog.catalog import Catalog

    catalog = Catalog(url)
    rows = catalog.entries(target)
    newest = {item.target: item.version for item in rows}
    pointing = {
        name: channels.pointers(channels.moves(catalog.storage, name), version)
        for name, version in newest.items()
    }
    names = {
        item.name: [channel for channel, version in pointing[item.target].items() if version == item.version]
        for item in rows
    }
    if as_json:
        made = [item.model_dump(mode="json") | {"channels": names[item.name]} for item in rows]
        click.echo(json.dumps(made, indent=2))
        return
    if not rows:
        click.echo(f"nothing in {url}; `notebake catalog add` puts an image there", err=True)
        return
    from notebake import terminal

    table = terminal.table("image", "channels", "size", "probe", "from", "since (UTC)")
    for item in rows:
        table.add_row(
            item.name,
            ", ".join(names[item.name]),
            f"{item.files[item.disk].bytes / 1e6:.0f} MB",
            "green" if item.probed else "none",
            item.made_from,
            f"{item.created:%Y-%m-%d %H:%M}",
        )
    terminal.console().print(table)


@command.command("show")
@click.argument("image", metavar="TARGET@VERSION")
@options.catalog
def show(image: str, url: str) -> None:
    """Print the record of TARGET@VERSION or TARGET@CHANNEL as JSON, checked against its entry."""
    from notebake.catalog import reference

    click.echo(reference.record(image, url).to_json(), nl=False)


@command.command("verify")
@options.verifier
@click.option("--mend-index", is_flag=True, help="First write the index anew from the entries.")
@options.catalog
def verify(verifier: Verifier, mend_index: bool, url: str) -> None:
    """Read every byte of the catalog and check it against what was signed. Exit code 7 if any differs."""
    from notebake.catalog import verify
    from notebake.catalog.catalog import Catalog
    from notebake.errors import RecordError, SpecError

    catalog = Catalog(url)
    if mend_index:
        catalog.forget_index()
        catalog.write_index()
    found = verify.problems(catalog, verifier)
    if found:
        raise RecordError("\n".join(found), "what is not named here is as it was signed")
    count = len(catalog.entries())
    if not count:
        raise SpecError(f"{url}: nothing is there to verify", "--catalog names another place")
    click.echo(f"{url}: {count} versions, all as they were signed")


@command.command("prune")
@click.option(
    "--older-than",
    "days",
    type=click.FloatRange(0),
    default=90,
    show_default=True,
    help="Days.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@options.catalog
def prune(days: float, dry_run: bool, url: str) -> None:
    """Remove old versions that no channel needs.

    What a channel points to, what it pointed to before, and each target's newest version stay.
    """
    from notebake.catalog import prune
    from notebake.catalog.catalog import Catalog

    gone = prune.prune(Catalog(url), older_than=timedelta(days=days), now=datetime.now(UTC), dry_run=dry_run)
    for item in gone:
        click.echo(f"{item.name}: {'would go' if dry_run else 'removed'}")
    if not gone:
        click.echo("nothing to remove", err=True)
