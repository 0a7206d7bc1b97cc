"""Points channels to versions: forward after a green probe, back to what was before."""

from __future__ import annotations

from datetime import datetime

from notebake.catalog import channels, verify
from notebake.catalog.catalog import Catalog, check_clock
from notebake.catalog.channels import Move
from notebake.catalog.entry import Entry
from notebake.catalog.signing import Signer
from notebake.errors import RecordError, SpecError


def promote(catalog: Catalog, entry: Entry, channel: str, *, signer: Signer, now: datetime) -> Move:
    """Point `channel` to `entry`: one whose probe was green and whose every byte is the signed one.

    Raises RecordError, and the channels are as they were.
    """
    channels.check_name(channel)
    verify.check(catalog, entry, signer.verifier)
    probe = catalog.record(entry).probe
    if probe is None or not probe.promotable:
        failed = ", ".join(item.name for item in probe.results if item.status == "failed") if probe else ""
        raise RecordError(
            f"{entry.name}: {'its probe failed: ' + failed if probe else 'it was never probed'}",
            "notebake probe NAME --json > probe.json; notebake catalog add IMAGE --probe probe.json",
        )
    before = channels.moves(catalog.storage, entry.target, signer.verifier)
    current = channels.history(before, channel)
    if current and current[-1] == entry.version:
        raise SpecError(f"{entry.name}: is {channel} already")
    return _move(catalog, channel, "promote", entry, before, signer, now)


def rollback(catalog: Catalog, target: str, channel: str, *, signer: Signer, now: datetime) -> Move:
    """Point `channel` back to what it was before. Raises SpecError when it never was anything else."""
    channels.check_name(channel)
    before = channels.moves(catalog.storage, target, signer.verifier)
    past = channels.history(before, channel)
    if len(past) < 2:
        raise SpecError(f"{target}@{channel}: there is nothing to go back to")
    entry = catalog.entry(target, past[-2])
    verify.check(catalog, entry, signer.verifier)
    return _move(catalog, channel, "rollback", entry, before, signer, now)


def _move(
    catalog: Catalog, channel: str, action: str, entry: Entry, before: list[Move], signer: Signer, now: datetime
) -> Move:  # fmt: skip
    check_clock(now, before[-1].at if before else None)
    move = Move.model_validate(
        {
            "number": len(before) + 1, "target": entry.target, "channel": channel, "action": action,
            "version": entry.version, "disk": entry.files[entry.disk].sha256, "at": now,
            "before": channels.tip(catalog.storage, entry.target),
        }
    )  # fmt: skip
    channels.append(catalog.storage, move, signer)
    return move
