"""Takes versions out of a catalog that nobody needs any more."""

from __future__ import annotations

from datetime import datetime, timedelta

from notebake.catalog import channels
from notebake.catalog import entry as entry_file
from notebake.catalog.catalog import Catalog, check_clock
from notebake.catalog.entry import Entry
from notebake.errors import RecordError

# No upload takes that long.
_ABANDONED = timedelta(days=1)


def prune(catalog: Catalog, *, older_than: timedelta, now: datetime, dry_run: bool) -> list[Entry]:
    """Remove entries older than `older_than` that no channel needs; returns them.

    What a channel is, what it was before, and the newest version of each target stay. In a local
    folder, what killed writers left goes too once it is a day old. What goes is read from the entries
    themselves, not from the index. Raises RecordError for a clock that is behind the newest entry, for
    an entry whose files are another's, and for a link: then nothing was removed.
    """
    rows = catalog.entries(indexed=False)
    check_clock(now, max((item.created for item in rows), default=None))
    kept = set()
    for target in {item.target for item in rows}:
        moves = channels.moves(catalog.storage, target)
        kept |= {f"{target}@{version}" for name in {move.channel for move in moves}
                 for version in channels.history(moves, name)[-2:]}  # fmt: skip
        kept.add([item.name for item in rows if item.target == target][-1])
    gone = [item for item in rows if item.name not in kept and now - item.created > older_than]
    _check_folders(rows)
    # First it is no entry any more, then its files go.
    paths = [path for item in gone for path in (entry_file.path(item.target, item.version), item.folder)]
    paths += _leftovers(catalog, rows, now)
    for path in paths:
        catalog.storage.check_removable(path)
    if dry_run:
        return gone
    for path in paths:
        catalog.storage.remove(path)
    catalog.write_index(indexed=False)
    return gone


def _check_folders(rows: list[Entry]) -> None:
    """Raise RecordError when two entries name one folder: each writer has its own."""
    owners: dict[str, Entry] = {}
    for item in rows:
        other = owners.setdefault(item.folder, item)
        if other is not item:
            raise RecordError(
                f"{item.name} and {other.name}: both name {item.folder}",
                "one of the entries was changed: `notebake catalog verify` says which",
            )


def _leftovers(catalog: Catalog, rows: list[Entry], now: datetime) -> list[str]:
    """What is below images/ that no entry names and that no writer can be at work in any more."""
    named = {item.folder for item in rows}
    return [
        path
        for target in catalog.storage.changed("images")
        for path, changed in catalog.storage.changed(target).items()
        if path not in named and now.timestamp() - changed > _ABANDONED.total_seconds()
    ]
