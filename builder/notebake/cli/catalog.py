"""`notebake catalog`."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from notebake import screen
from notebake.cli import opening, options

if TYPE_CHECKING:
    from collections.abc import Callable

    from notebake.catalog.catalog import Catalog
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
      sudo notebake catalog add baked/debian-13.qcow2 --container --key notebake.key
      notebake catalog trust notebake.key.pub
      notebake catalog verify
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
@click.option(
    "--container",
    is_flag=True,
    help="Add the container form too, a squashfs for Incus and LXD. Needs root and mksquashfs.",
)
@options.gate
@options.catalog
@options.signer
@options.as_json
def add(
    image: Path, probe_path: Path | None, container: bool, gate: Gate | None, url: str, signer: Signer,
    as_json: bool,
) -> None:  # fmt: skip
    """Add an image as the next version.

    The record must be in the same folder as IMAGE. The version number is derived from the changes since the
    newest version. Adding the newest image again is a no-op.
    """
    from notebake.catalog import add
    from notebake.machines import rootfs
    from notebake.progress import Steps
    from notebake.record import record

    probe = record.load_probe(probe_path) if probe_path else None
    now = datetime.now(UTC)
    catalog = opening.writer(url, signer, now)
    with rootfs.squashed(image, Steps()) if container else contextlib.nullcontext() as squashfs:
        added = add.add(
            catalog, image, signer=signer, now=now, probe=probe, gate=gate, container=squashfs
        )  # fmt: skip
    if as_json:
        screen.echo(json.dumps({"added": added.is_new} | added.entry.model_dump(mode="json"), indent=2))
    else:
        screen.echo(f"{added.entry.name}: {'added' if added.is_new else 'already exists, nothing to do'}")


@command.command("list")
@click.argument("target", required=False, type=options.TargetName())
@opening.reader
@options.as_json
def list_(target: str | None, opened: Callable[[], Catalog], as_json: bool) -> None:
    """List the versions and their channels.

    Without TARGET, the versions of all targets.
    """
    catalog = opened()
    head = catalog.head()
    entries = catalog.entries(target, head=head) if head else []
    pointers = {name: catalog.pointers(name, head=head) for name in {entry.target for entry in entries}}
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
        screen.echo(f"no images in {catalog.storage.url}; `notebake catalog add` adds one", err=True)
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
@opening.reader
def show(image: str, opened: Callable[[], Catalog]) -> None:
    """Print the record of a version as JSON.

    TARGET@CHANNEL is accepted too. Its signature is verified.
    """
    from notebake.catalog import reference

    screen.echo(reference.record(image, opened).to_json().decode(), nl=False)


@command.command("verify")
@opening.verifying_reader
@click.option(
    "--rebuild-index",
    is_flag=True,
    help="Write the index, and the copy of the signed head for readers, again; then verify.",
)
def verify(opened: Callable[[], Catalog], rebuild_index: bool) -> None:
    """Verify every byte of the catalog against the signatures.

    Also that it was not set back, that its head has not expired, and that it has no other files.

    Exit code 7 if anything differs.
    """
    from notebake.catalog import verify
    from notebake.errors import RecordError, SpecError

    catalog = opened()
    url = catalog.storage.url
    if rebuild_index:
        catalog.forget_index()
        catalog.write_index()
    problems = verify.problems(catalog)
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

    Reads the catalog, writes and removes a hidden file, and verifies the head and the newest versions
    with the key or identity that would sign.
    """
    from notebake.catalog import access

    now = datetime.now(UTC)
    count = access.check(opening.writer(url, signer, now), signer, now)
    if as_json:
        screen.echo(json.dumps({"catalog": url, "versions": count}))
    else:
        screen.echo(f"{url}: can be read and written, {count} versions, the signer matches")


@command.command("refresh")
@click.option(
    "--days",
    type=click.IntRange(1, 3650),
    help="For how long this and later heads are valid.  [default: as before; at first 30 days]",
)
@click.option(
    "--expired",
    is_flag=True,
    envvar="NOTEBAKE_EXPIRED",
    show_envvar=True,
    help="Accept an expired head, although this host has not seen it before.",
)
@click.option(
    "--new-signer", "new", is_flag=True, help="Let a key or identity sign that never signed this catalog."
)
@options.catalog
@options.signer
def refresh(days: int | None, expired: bool, new: bool, url: str, signer: Signer) -> None:
    """Sign the head again, before it expires.

    Readers refuse a catalog whose head has expired, because newer versions may be hidden from them. `add`,
    `promote`, `rollback` and `prune` sign a new head too. With --new-signer another key takes over, on a host
    that trusts the one before.
    """
    from notebake.catalog import refresh

    now = datetime.now(UTC)
    catalog = opening.known(url, now)
    valid = timedelta(days=days) if days else None
    head = refresh.refresh(catalog, signer=signer, now=now, valid=valid, expired=expired, new=new)
    if head is None:
        screen.echo(f"no images in {url}, nothing to sign", err=True)
    else:
        screen.echo(f"{url}: head {head.number}, valid until {head.expires:%Y-%m-%d}")


@command.command("trust")
@click.argument("keys", metavar="[KEY]...", nargs=-1, type=click.Path(path_type=Path, dir_okay=False))
@options.identity
@click.option("--nobody", is_flag=True, help="Trust nobody any more.")
@click.option(
    "--reset", is_flag=True, help="Forget what was seen before: the catalog was replaced on purpose."
)
@options.catalog
def trust(keys: tuple[Path, ...], identity: Verifier | None, nobody: bool, reset: bool, url: str) -> None:
    """Set who may sign a catalog, or show it.

    KEY is a file with the public key; of a private key the public one is taken. With several keys, or a key
    and an identity, each may sign. What was set before is replaced. It is stored for this user and catalog.

    \b
    Examples:
      notebake catalog trust notebake.key.pub
      notebake catalog trust old.pub new.pub --catalog s3://my-bucket/images
      notebake catalog trust --issuer https://token.actions.githubusercontent.com \\
        --identity https://github.com/me/images/.github/workflows/images.yml@refs/heads/main
    """
    from notebake.catalog import signing
    from notebake.catalog.catalog import Catalog
    from notebake.catalog.trust import Trust, together

    if nobody and (keys or identity):
        raise click.UsageError("--nobody cannot be used together with a key or an identity")
    catalog, pins, memory = Catalog(url), opening.pins(), opening.memory()
    where = catalog.storage.identity
    given = [*map(signing.any_public_key, keys), *([identity] if identity else [])]
    signers = together(*given) if given else pins.read(where)
    if reset:
        memory.forget(where)
    if given and signers is not None:
        catalog.trust = Trust(signers, datetime.now(UTC), memory, expired=True)
        head = catalog.head()
        pins.write(where, signers)
        screen.echo(f"{url}: {f'head {head.number}' if head else 'no images yet'}; trusted signers:")
    elif nobody:
        pins.write(where, None)
        signers = None
    for name in signers.signers if signers else ():
        screen.echo(name.title)
    if signers is None:
        screen.echo(f"{url}: nobody is trusted", err=True)


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
@options.signer
def prune(days: float, dry_run: bool, url: str, signer: Signer) -> None:
    """Remove old versions that no channel needs.

    The current and previous version of each channel and the newest version of each target are kept. The head
    is signed again without the others, before they are removed.
    """
    from notebake.catalog import prune

    now = datetime.now(UTC)
    catalog = opening.writer(url, signer, now)
    removed = prune.prune(catalog, older_than=timedelta(days=days), signer=signer, now=now, dry_run=dry_run)
    for entry in removed:
        screen.echo(f"{entry.name}: {'would be removed' if dry_run else 'removed'}")
    if not removed:
        screen.echo("nothing to remove", err=True)
