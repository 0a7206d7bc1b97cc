"""`notebake catalog`."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from notebake import screen
from notebake.cli import options

if TYPE_CHECKING:
    from notebake.catalog.gate import Gate
    from notebake.catalog.signing import Signer, Verifier


@click.group("catalog")
def command() -> None:
    """Images are stored as signed versions. Every write is atomic.

    \b
    Examples:
      notebake catalog key notebake.key
      notebake catalog add baked/debian-13.qcow2 --probe probe.json --key notebake.key
      notebake catalog add baked/debian-13.qcow2 --vulnerabilities grype.json --key notebake.key
      notebake catalog verify --public-key notebake.key.pub
    """


@command.command("key")
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
def key(path: Path) -> None:
    """Create a signing key pair.

    Writes the private key to PATH and the public key to PATH.pub.
    """
    from notebake.catalog import signing

    screen.echo(f"wrote {path} (keep it secret) and {signing.make_key(path)} (publish it)")


@command.command("add")
@click.argument("image", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--probe",
    "probe_path",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Probe report: the output of `notebake probe --json`. Required to promote the image.",
)
@options.gate
@options.catalog
@options.signer
@options.as_json
def add(
    image: Path, probe_path: Path | None, gate: Gate | None, url: str, signer: Signer, as_json: bool
) -> None:
    """Add an image as the next version.

    The record must be in the same folder as IMAGE. The version number is derived from the changes since the
    newest version. Adding the newest image again is a no-op.
    """
    from notebake.catalog import add
    from notebake.catalog.catalog import Catalog
    from notebake.record import record

    probe = record.load_probe(probe_path) if probe_path else None
    added = add.add(Catalog(url), image, signer=signer, now=datetime.now(UTC), probe=probe, gate=gate)
    if as_json:
        screen.echo(json.dumps({"added": added.is_new} | added.entry.model_dump(mode="json"), indent=2))
    else:
        screen.echo(f"{added.entry.name}: {'added' if added.is_new else 'already exists, nothing to do'}")


@command.command("list")
@click.argument("target", required=False, type=options.TargetName())
@options.catalog
@options.as_json
def list_(target: str | None, url: str, as_json: bool) -> None:
    """List the versions and their channels.

    Without TARGET, the versions of all targets.
    """
    from notebake.catalog import channels
    from notebake.catalog.catalog import Catalog

    catalog = Catalog(url)
    entries = catalog.entries(target)
    newest = {entry.target: entry.version for entry in entries}
    pointers = {
        name: channels.pointers(channels.moves(catalog.storage, name), version)
        for name, version in newest.items()
    }
    names = {
        entry.name: [
            channel for channel, version in pointers[entry.target].items() if version == entry.version
        ]
        for entry in entries
    }
    if as_json:
        rows = [entry.model_dump(mode="json") | {"channels": names[entry.name]} for entry in entries]
        screen.echo(json.dumps(rows, indent=2))
        return
    if not entries:
        screen.echo(f"no images in {url}; `notebake catalog add` adds one", err=True)
        return
    from notebake import terminal

    table = terminal.table("image", "channels", "size", "probe", "from", "added (UTC)")
    for entry in entries:
        table.add_row(
            entry.name,
            ", ".join(names[entry.name]),
            f"{entry.files[entry.disk].bytes / 1e6:.0f} MB",
            "passed" if entry.probed else "none",
            entry.made_from,
            f"{entry.created:%Y-%m-%d %H:%M}",
        )
    terminal.console().print(table)


@command.command("show")
@click.argument("image", metavar="TARGET@VERSION")
@options.catalog
def show(image: str, url: str) -> None:
    """Print the record of a version as JSON.

    TARGET@CHANNEL is accepted too. The record's digest is checked.
    """
    from notebake.catalog import reference

    screen.echo(reference.record(image, url).to_json().decode(), nl=False)


@command.command("verify")
@options.verifier
@click.option("--rebuild-index", is_flag=True, help="Write the index again from the entries, then verify.")
@options.catalog
def verify(verifier: Verifier, rebuild_index: bool, url: str) -> None:
    """Verify every byte of the catalog against the signatures.

    Exit code 7 if anything differs.
    """
    from notebake.catalog import verify
    from notebake.catalog.catalog import Catalog
    from notebake.errors import RecordError, SpecError

    catalog = Catalog(url)
    if rebuild_index:
        catalog.forget_index()
        catalog.write_index()
    problems = verify.problems(catalog, verifier)
    if problems:
        raise RecordError("\n".join(problems), "everything that is not listed here matches its signature")
    count = len(catalog.entries())
    if not count:
        raise SpecError(f"{url}: no versions to verify", "use --catalog to name another catalog")
    screen.echo(f"{url}: {count} versions, all match their signatures")


@command.command("check")
@options.catalog
@options.signer
@options.as_json
def check(url: str, signer: Signer, as_json: bool) -> None:
    """Check that this host may add versions: storage and key.

    Reads the catalog, writes and removes a hidden file, and verifies the newest versions and the channels
    with the key or identity that would sign.
    """
    from notebake.catalog import access
    from notebake.catalog.catalog import Catalog

    count = access.check(Catalog(url), signer)
    if as_json:
        screen.echo(json.dumps({"catalog": url, "versions": count}))
    else:
        screen.echo(f"{url}: can be read and written, {count} versions, the signer matches")


@command.command("prune")
@click.option(
    "--older-than",
    "days",
    type=options.Number(0, options.MAX_DAYS),
    default=90,
    show_default=True,
    help="Minimum age of a version to remove, in days.",
)
@click.option("--dry-run", is_flag=True, help="Only print what would be removed.")
@options.catalog
def prune(days: float, dry_run: bool, url: str) -> None:
    """Remove old versions that no channel needs.

    The current and previous version of each channel and the newest version of each target are kept.
    """
    from notebake.catalog import prune
    from notebake.catalog.catalog import Catalog

    removed = prune.prune(
        Catalog(url), older_than=timedelta(days=days), now=datetime.now(UTC), dry_run=dry_run
    )
    for entry in removed:
        screen.echo(f"{entry.name}: {'would be removed' if dry_run else 'removed'}")
    if not removed:
        screen.echo("nothing to remove", err=True)
