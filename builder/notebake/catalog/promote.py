"""Change channels: promote a version that passed its probe, or roll back to the previous version."""

from __future__ import annotations

from datetime import datetime

from notebake.catalog import channels, verify
from notebake.catalog.catalog import Catalog, check_clock
from notebake.catalog.channels import Move
from notebake.catalog.entry import Entry
from notebake.catalog.gate import Gate
from notebake.catalog.signing import Signer
from notebake.errors import RecordError, SpecError


def promote(
    catalog: Catalog, entry: Entry, channel: str, *, signer: Signer, now: datetime, gate: Gate | None = None
) -> Move:
    """Point `channel` to `entry`, which must have passed its probe and match its signature in every byte.

    Raises RecordError, or CheckFailed if it does not pass the `gate`, and then changes nothing.
    """
    channels.check_name(channel)
    verify.check(catalog, entry, signer.verifier)
    record = catalog.record(entry)
    probe = record.probe
    if probe is None or not probe.promotable:
        failed = ", ".join(check.name for check in probe.results if check.status == "failed") if probe else ""
        raise RecordError(
            f"{entry.name}: {'its probe failed: ' + failed if probe else 'it was never probed'}",
            "notebake probe NAME --json > probe.json; notebake catalog add IMAGE --probe probe.json",
        )
    if gate is not None:
        gate.check(record, name=entry.name)
    before = channels.moves(catalog.storage, entry.target, signer.verifier)
    current = channels.history(before, channel)
    if current and current[-1] == entry.version:
        raise SpecError(f"{entry.name}: already is {channel}")
    return _move(catalog, channel, "promote", entry, before, signer, now)


def rollback(catalog: Catalog, target: str, channel: str, *, signer: Signer, now: datetime) -> Move:
    """Point `channel` back to its previous version. Raises SpecError if there is none."""
    channels.check_name(channel)
    before = channels.moves(catalog.storage, target, signer.verifier)
    versions = channels.history(before, channel)
    if len(versions) < 2:
        raise SpecError(f"{target}@{channel}: no previous version to roll back to")
    entry = catalog.entry(target, versions[-2])
    verify.check(catalog, entry, signer.verifier)
    return _move(catalog, channel, "rollback", entry, before, signer, now)


def _move(
    catalog: Catalog,
    channel: str,
    action: str,
    entry: Entry,
    before: list[Move],
    signer: Signer,
    now: datetime,
) -> Move:
    check_clock(now, before[-1].at if before else None)
    move = Move.model_validate(
        {
            "number": len(before) + 1, "target": entry.target, "channel": channel, "action": action,
            "version": entry.version, "disk": entry.files[entry.disk].sha256, "at": now,
            "before": channels.tip(catalog.storage, entry.target),
        }
    )  # fmt: skip
    channels.append(catalog.storage, move, signer)
    catalog.write_index()
    return move
