"""Change channels: promote a version that passed its probe, or roll back to the previous version."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from notebake.catalog import channels, probed, verify
from notebake.catalog import head as heads
from notebake.catalog.catalog import Catalog
from notebake.catalog.channels import Move
from notebake.catalog.entry import Entry
from notebake.catalog.gate import Gate
from notebake.catalog.head import Head
from notebake.catalog.signing import Signer
from notebake.errors import RecordError, SpecError

_ATTEMPTS = 20


def promote(
    catalog: Catalog, entry: Entry, channel: str, *, signer: Signer, now: datetime, gate: Gate | None = None
) -> Move:
    """Point `channel` to `entry`, which must have passed its probe and match its signature in every byte.

    Raises RecordError, or CheckFailed if it does not pass the `gate`, and then changes nothing.
    """
    channels.check_name(channel)
    catalog = catalog.signed_by(signer, now)
    head = _head(catalog)
    entry = catalog.entry(entry.target, entry.version, head=head)
    verify.check(catalog, entry, catalog.verifier(head))
    record = catalog.record(entry)
    if problem := probed.problem(record):
        raise RecordError(
            f"{entry.name}: {problem}",
            "notebake probe NAME --json > probe.json; notebake catalog add IMAGE --probe probe.json",
        )
    if gate is not None:
        gate.check(record, name=entry.name)
    if channels.history(head.of(entry.target), channel)[-1:] == [entry.version]:
        raise SpecError(f"{entry.name}: already is {channel}")
    return _move(catalog, channel, "promote", entry, head, signer, now)


def rollback(catalog: Catalog, target: str, channel: str, *, signer: Signer, now: datetime) -> Move:
    """Point `channel` back to its previous version. Raises SpecError if there is none."""
    channels.check_name(channel)
    catalog = catalog.signed_by(signer, now)
    head = catalog.newest()
    versions = channels.history(head.of(target), channel) if head else []
    if head is None or len(versions) < 2:
        raise SpecError(f"{target}@{channel}: no previous version to roll back to")
    entry = catalog.entry(target, versions[-2], head=head)
    verify.check(catalog, entry, catalog.verifier(head))
    return _move(catalog, channel, "rollback", entry, head, signer, now)


def _head(catalog: Catalog) -> Head:
    head = catalog.newest()
    if head is None:
        raise SpecError(f"{catalog.storage.url}: no versions", "`notebake catalog add` adds one")
    return head


def _move(
    catalog: Catalog,
    channel: str,
    action: Literal["promote", "rollback"],
    entry: Entry,
    head: Head,
    signer: Signer,
    now: datetime,
) -> Move:
    disk = entry.files[entry.disk].sha256
    move = Move(target=entry.target, channel=channel, action=action, version=entry.version, disk=disk, at=now)
    for _ in range(_ATTEMPTS):
        try:
            catalog.publish(heads.following(head, signer=signer, now=now, moves=(*head.moves, move)), signer)
            break
        except FileExistsError:
            before, head = head, _head(catalog)
            if (before.of(entry.target), entry.name in head.entries) != (head.of(entry.target), True):
                raise RecordError(
                    f"{entry.target}: another writer changed a channel at the same time; nothing was changed",
                    f"check `notebake catalog list {entry.target}`, then run the same command if needed",
                ) from None
    else:
        raise RecordError(f"{entry.target}: too many concurrent writers", "run the same command again")
    catalog.write_index(done=f"{entry.target}@{channel} is {entry.version}")
    return move
