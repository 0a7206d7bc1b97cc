"""Remove old versions that no channel needs from a catalog."""

from __future__ import annotations

from datetime import datetime, timedelta

from notebake.catalog import channels
from notebake.catalog import entry as entry_file
from notebake.catalog.catalog import Catalog, check_clock
from notebake.catalog.entry import Entry
from notebake.errors import RecordError

# An upload never takes this long.
_ABANDONED = timedelta(days=1)


def prune(catalog: Catalog, *, older_than: timedelta, now: datetime, dry_run: bool) -> list[Entry]:
    """Remove entries older than `older_than` that no channel needs. Return them.

    The current and previous version of each channel and the newest version of each target are kept. In a
    local folder, files left by killed writers are removed too when they are a day old. Entries are read
    from their own files, not from the index. Raises RecordError if the clock is behind the newest entry, if
    two entries share a folder, or for a symbolic link; then nothing is removed.
    """
    entries = catalog.entries(indexed=False)
    check_clock(now, max((entry.created for entry in entries), default=None))
    kept = set()
    for target in {entry.target for entry in entries}:
        moves = channels.moves(catalog.storage, target)
        kept |= {f"{target}@{version}" for name in {move.channel for move in moves}
                 for version in channels.history(moves, name)[-2:]}  # fmt: skip
        kept.add([entry.name for entry in entries if entry.target == target][-1])
    removed = [entry for entry in entries if entry.name not in kept and now - entry.created > older_than]
    _check_folders(entries)
    # The entry first, then its files: an incomplete removal leaves no entry without files.
    paths = [
        path for entry in removed for path in (entry_file.path(entry.target, entry.version), entry.folder)
    ]
    paths += _leftovers(catalog, entries, now)
    for path in paths:
        catalog.storage.check_removable(path)
    if dry_run:
        return removed
    for path in paths:
        catalog.storage.remove(path)
    catalog.write_index(indexed=False)
    return removed


def _check_folders(entries: list[Entry]) -> None:
    """Raise RecordError if two entries share a folder: each writer uses its own."""
    owners: dict[str, Entry] = {}
    for entry in entries:
        owner = owners.setdefault(entry.folder, entry)
        if owner is not entry:
            raise RecordError(
                f"{entry.name} and {owner.name}: both use the folder {entry.folder}",
                "one of the entries was changed: `notebake catalog verify` shows which one",
            )


def _leftovers(catalog: Catalog, entries: list[Entry], now: datetime) -> list[str]:
    """Return the folders below images/ that belong to no entry and that no writer can still be using."""
    used = {entry.folder for entry in entries}
    return [
        path
        for target in catalog.storage.changed("images")
        for path, changed in catalog.storage.changed(target).items()
        if path not in used and now.timestamp() - changed > _ABANDONED.total_seconds()
    ]
