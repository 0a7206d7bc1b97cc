"""Read a catalog: entries, channels, records and disks; write its index."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path

from notebake import scratch
from notebake.catalog import channels, simplestreams
from notebake.catalog import entry as entry_file
from notebake.catalog.entry import Entry, File
from notebake.catalog.storage import Storage
from notebake.errors import RecordError, SpecError
from notebake.files import sha256
from notebake.record import record as records
from notebake.record.record import Record

# The clocks of two hosts differ a little; with a larger difference, one of them is wrong.
_SKEW = timedelta(minutes=5)
_REFERENCE = re.compile(r"(?P<target>[a-z][a-z0-9.-]*)@(?P<name>[a-z0-9][a-z0-9.-]*)")


def is_reference(text: str) -> bool:
    """Return whether `text` has the form TARGET@CHANNEL or TARGET@VERSION."""
    return _REFERENCE.fullmatch(text) is not None


class Catalog:
    """A catalog at a folder or URL. Every method may raise CommandFailed from its storage."""

    def __init__(self, url: str) -> None:
        self.storage = Storage(url)

    def entries(self, target: str | None = None, *, indexed: bool = True) -> list[Entry]:
        """Return all entries, or those of `target`, sorted by target and version. Raises RecordError.

        The entry files decide which entries exist; the index provides the contents of most of them in one
        read. With `indexed=False` the index is not used: every entry is read from its own file.
        """
        known = {entry.name: entry for entry in self._indexed()} if indexed else {}
        if self.storage.lists:
            targets = [target] if target else self.storage.names("entries")
            existing = {}
            for name in targets:
                for file in self.storage.names(f"entries/{name}"):
                    version = file.removesuffix(".json")
                    reference = f"{name}@{version}"
                    existing[reference] = known.get(reference) or self.entry(name, version)
            known = existing
        entries = [entry for entry in known.values() if target in (None, entry.target)]
        return sorted(entries, key=lambda entry: (entry.target, entry.order))

    def _indexed(self) -> list[Entry]:
        try:
            data = self.storage.read(simplestreams.PRODUCTS)
        except FileNotFoundError:
            return []
        return simplestreams.entries(data, source=f"{self.storage.url}/{simplestreams.PRODUCTS}")

    def entry(self, target: str, version: str) -> Entry:
        """Read the entry of one version. Raises SpecError if there is none, RecordError if it is invalid."""
        path = entry_file.path(target, version)
        source = f"{self.storage.url}/{path}"
        try:
            entry = entry_file.parse(self.storage.read(path), source=source)
        except FileNotFoundError:
            raise SpecError(
                f"{target}@{version}: not in the catalog {self.storage.url}",
                "`notebake catalog list` shows its versions",
            ) from None
        if (entry.target, entry.version) != (target, version):
            raise RecordError(f"{source}: is the entry of {entry.name}")
        return entry

    def pointers(self, target: str) -> dict[str, str]:
        """Return the channels of `target`: channel -> version."""
        entries = self.entries(target)
        newest = entries[-1].version if entries else None
        return channels.pointers(channels.moves(self.storage, target), newest)

    def find(self, reference: str) -> Entry:
        """Return the entry for TARGET@CHANNEL or TARGET@VERSION. Raises SpecError."""
        match = _REFERENCE.fullmatch(reference)
        if match is None:
            raise SpecError(
                f"{reference}: not TARGET@CHANNEL or TARGET@VERSION", "for example: debian-13@stable"
            )
        target, name = match["target"], match["name"]
        if name[0].isdigit():
            return self.entry(target, name)
        pointers = self.pointers(target)
        if name not in pointers:
            existing = ", ".join(sorted(pointers)) or "none"
            raise SpecError(
                f"{reference}: no such channel in {self.storage.url}",
                f"channels of {target}: {existing}; `notebake promote` creates one",
            )
        return self.entry(target, pointers[name])

    def file(self, entry: Entry, name: str) -> bytes:
        """Read a small file of an entry and check its digest. Raises RecordError."""
        path = f"{entry.folder}/{name}"
        try:
            data = self.storage.read(path)
        except FileNotFoundError:
            raise _missing(entry, name) from None
        if entry_file.describe(data) != entry.files.get(name):
            raise _changed(entry, name)
        return data

    def record(self, entry: Entry) -> Record:
        """Read the record of an entry and check its digest. Raises RecordError."""
        return records.parse(self.file(entry, entry.record), source=f"{entry.name}: {entry.record}")

    def image(self, entry: Entry, cache: Path) -> Path:
        """Return the local path of an entry's disk, with its record beside it; both are verified.

        The disk of a remote catalog is downloaded into `cache` once. Raises RecordError if it is missing or
        was changed.
        """
        if self.storage.local is not None:
            path = self.storage.local / entry.folder / entry.disk
            self._check_disk(entry)
            self.record(entry)
            return path
        folder = cache / f"{entry.target}-{entry.version}-{entry.files[entry.disk].sha256[:12]}"
        path = folder / entry.disk
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            records.path_for(path).write_bytes(self.file(entry, entry.record))
            with scratch.folder(folder, "disk") as work:
                temporary = work / entry.disk
                self._fetch(entry, temporary)
                temporary.replace(path)
        return path

    def _fetch(self, entry: Entry, destination: Path) -> None:
        try:
            self.storage.fetch(f"{entry.folder}/{entry.disk}", destination)
        except FileNotFoundError:
            raise _missing(entry, entry.disk) from None
        if sha256(destination) != entry.files[entry.disk].sha256:
            raise _changed(entry, entry.disk)

    def _check_disk(self, entry: Entry) -> None:
        try:
            digest, size = self.storage.digest(f"{entry.folder}/{entry.disk}")
        except FileNotFoundError:
            raise _missing(entry, entry.disk) from None
        if File(sha256=digest, bytes=size) != entry.files.get(entry.disk):
            raise _changed(entry, entry.disk)

    def forget_index(self) -> None:
        """Remove the index, even an invalid one: `write_index` derives it from the entries."""
        for path in (simplestreams.INDEX, simplestreams.PRODUCTS, simplestreams.INCUS):
            self.storage.remove(path)

    def write_index(self, *, indexed: bool = True) -> None:
        """Write the index from the entries and channels; repeat if another writer changed them meanwhile.

        `indexed`: see `entries`.
        """
        known = self._known(indexed)
        while True:
            for path, data in simplestreams.files(*known).items():
                self.storage.write(path, data)
            current = self._known(indexed)
            if current == known:
                return
            known = current

    def _known(self, indexed: bool) -> tuple[list[Entry], dict[str, dict[str, str]]]:
        """Return what the index is derived from: the entries, and each target's channels."""
        entries = self.entries(indexed=indexed)
        newest = {entry.target: entry.version for entry in entries}
        pointers = {
            target: channels.pointers(channels.moves(self.storage, target), version)
            for target, version in newest.items()
        }
        return entries, pointers


def _missing(entry: Entry, name: str) -> RecordError:
    return RecordError(
        f"{entry.name}: {name} is missing", "this version is damaged: promote or launch another one"
    )


def _changed(entry: Entry, name: str) -> RecordError:
    return RecordError(
        f"{entry.name}: {name} was changed (SHA-256 mismatch)",
        "this version is damaged: promote or launch another one",
    )


def check_clock(now: datetime, last: datetime | None) -> None:
    """Raise RecordError if `now` is before `last`, the newest time in the catalog."""
    if last is not None and now < last - _SKEW:
        raise RecordError(
            f"the clock of this host says {now:%Y-%m-%d %H:%M} UTC, but the newest time in the catalog is "
            f"{last:%Y-%m-%d %H:%M} UTC: one of the two clocks is wrong",
            "set the clock and run the same command again",
        )
