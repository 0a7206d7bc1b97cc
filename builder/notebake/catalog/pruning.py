"""Takes versions out of a catalog that nobody needs any more."""

from __future__ import annotations

from datetime import datetime, timedelta

from notebake.catalog import Catalog, channels, check_clock
from notebake.catalog import entry as entry_file
from notebake.catalog.entry import Entry

# No upload takes that long.
_ABANDONED = timedelta(days=1)


def prune(catalog: Catalog, *, older_than: timedelta, now: datetime, dry_run: bool) -> list[Entry]:
    """Remove entries older than `older_than` that no channel needs; returns them.

    What a channel is, what it was before, and the newest version of each target stay. In a local
    folder, what killed writers left goes too once it is a day old. Raises RecordError for a clock that is behind the newest entry.
    """
    rows = catalog.entries()
    check_clock(now, max((item.created for item in rows), default=None))
    kept = set()
    for target in {item.target for item in rows}:
        moves = channels.moves(catalog.storage, target)
        kept |= {f"{target}@{version}" for name in {move.channel for move in moves}
                 for version in channels.history(moves, name)[-2:]}  # fmt: skip
        kept.add([item.name for item in rows if item.target == target][-1])
    gone = [item for item in rows if item.name not in kept and now - item.created > older_than]
    if dry_run:
        return gone
    for item in gone:
        # First it is no entry any more, then its files go.
        catalog.storage.remove(entry_file.path(item.target, item.version))
        catalog.storage.remove(item.folder)
    for folder in _leftovers(catalog, now):
        catalog.storage.remove(folder)
    catalog.write_index()
    return gone


def _leftovers(catalog: Catalog, now: datetime) -> list[str]:
    """Folders that no entry names and that no writer can be at work in any more."""
    root = catalog.storage.local
    if root is None:
        return []
    named = {item.folder for item in catalog.entries()}
    found = [path for path in root.glob("images/*/*") if path.relative_to(root).as_posix() not in named]
    return [
        path.relative_to(root).as_posix()
        for path in found
        if now.timestamp() - path.stat().st_mtime > _ABANDONED.total_seconds()
    ]
