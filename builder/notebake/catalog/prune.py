"""Remove old versions that no channel needs from a catalog."""

from __future__ import annotations

from datetime import datetime, timedelta

from notebake.catalog import channels
from notebake.catalog import entry as entry_file
from notebake.catalog import head as heads
from notebake.catalog.catalog import Catalog
from notebake.catalog.entry import Entry
from notebake.catalog.head import Head
from notebake.catalog.signing import Signer
from notebake.errors import RecordError

# An upload never takes this long.
_ABANDONED = timedelta(days=1)
# A writer follows the newest head within seconds, in which this many others are not written.
_KEPT_HEADS = 100


def prune(
    catalog: Catalog, *, older_than: timedelta, signer: Signer, now: datetime, dry_run: bool
) -> list[Entry]:
    """Remove entries older than `older_than` that no channel needs. Return them.

    The current and previous version of each channel and the newest version of each target are kept. So are
    old heads but the last hundred. What killed writers left is removed too when it is a day old: entries that
    the head does not list and, in a local folder, files. The head says what is removed, not the index. Raises
    RecordError if the head or a listed entry is not as signed, if two entries share a folder, or for a
    symbolic link; then nothing is removed.
    """
    catalog = catalog.signed_by(signer, now)
    head = catalog.newest()
    if head is None:
        return []
    entries = catalog.entries(head=head, indexed=False)
    kept = set()
    for target in {entry.target for entry in entries}:
        moves = head.of(target)
        kept |= {f"{target}@{version}" for name in {move.channel for move in moves}
                 for version in channels.history(moves, name)[-2:]}  # fmt: skip
        kept.add([entry.name for entry in entries if entry.target == target][-1])
    removed = [entry for entry in entries if entry.name not in kept and now - entry.created > older_than]
    _check_folders(entries)
    # The entry first, then its files: an incomplete removal leaves no entry without files.
    paths = [
        path for entry in removed for path in (entry_file.path(entry.target, entry.version), entry.folder)
    ]
    paths += _unlisted(catalog, head, now) + _leftovers(catalog, entries, now) + _old_heads(catalog, head)
    for path in paths:
        catalog.storage.check_removable(path)
    if dry_run:
        return removed
    gone = {entry.name for entry in removed}
    rest = {name: digest for name, digest in head.entries.items() if name not in gone}
    try:
        catalog.publish(heads.following(head, signer=signer, now=now, entries=rest), signer)
    except FileExistsError:
        raise RecordError(
            f"{catalog.storage.url}: another writer changed it at the same time; nothing was removed",
            "run the same command again",
        ) from None
    catalog.write_index(indexed=False, done=f"{len(removed)} versions are no longer in the catalog")
    for path in paths:
        catalog.storage.remove(path)
    return removed


def _check_folders(entries: list[Entry]) -> None:
    """Raise RecordError if two entries share a folder: each writer uses its own."""
    owners: dict[str, Entry] = {}
    for entry in entries:
        owner = owners.setdefault(entry.folder, entry)
        if owner is not entry:
            raise RecordError(
                f"{entry.name} and {owner.name}: both use the folder {entry.folder}",
                "`notebake catalog verify` shows what is wrong",
            )


def _unlisted(catalog: Catalog, head: Head, now: datetime) -> list[str]:
    """Return the entry files of versions that the head does not list, if they say that they are old."""
    found = []
    for target in catalog.storage.names("entries"):
        for file in catalog.storage.names(f"entries/{target}"):
            path = f"entries/{target}/{file}"
            try:
                if entry_file.name(path) in head.entries:
                    continue
                entry = entry_file.parse(catalog.storage.read(path), source=path)
            except (ValueError, RecordError, OSError):
                continue  # `verify` names it
            if now - entry.created > _ABANDONED:
                found.append(path)
    return found


def _leftovers(catalog: Catalog, entries: list[Entry], now: datetime) -> list[str]:
    """Return the folders below images/ that belong to no entry and that no writer can still be using."""
    used = {entry.folder for entry in entries}
    return [
        path
        for target in catalog.storage.changed("images")
        for path, changed in catalog.storage.changed(target).items()
        if path not in used and now.timestamp() - changed > _ABANDONED.total_seconds()
    ]


def _old_heads(catalog: Catalog, head: Head) -> list[str]:
    numbers = heads.numbers(catalog.storage.names(heads.FOLDER))
    return [heads.path(number) for number in numbers if number <= head.number - _KEPT_HEADS]
