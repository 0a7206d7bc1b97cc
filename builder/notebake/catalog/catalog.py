"""The catalog: images by version, whole or not there, signed, and the channels that point to them."""

from __future__ import annotations

import re
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

from notebake.catalog import channels, simplestreams
from notebake.catalog import entry as entry_file
from notebake.catalog.entry import Entry, File
from notebake.catalog.storage import Storage
from notebake.errors import RecordError, SpecError
from notebake.files import sha256
from notebake.record import record as records
from notebake.record.record import Record

# Clocks of different computers differ a little; more than this is a wrong clock.
_SKEW = timedelta(minutes=5)
_REFERENCE = re.compile(r"(?P<target>[a-z][a-z0-9.-]*)@(?P<what>[a-z0-9][a-z0-9.-]*)")


def is_reference(text: str) -> bool:
    """Whether `text` is TARGET@CHANNEL or TARGET@VERSION."""
    return _REFERENCE.fullmatch(text) is not None


class Catalog:
    """A catalog at a folder or URL. Every method may raise CommandFailed from its storage."""

    def __init__(self, url: str) -> None:
        self.storage = Storage(url)

    def entries(self, target: str | None = None, *, indexed: bool = True) -> list[Entry]:
        """All entries, or one target's, by target and version. Raises RecordError for a broken one.

        The index gives most in one read; which entries there are, the entries' own files say. With
        `indexed=False` these say everything, and the index is not read.
        """
        known = {item.name: item for item in self._indexed()} if indexed else {}
        if self.storage.lists:
            targets = [target] if target else self.storage.names("entries")
            there = {}
            for name in targets:
                for file in self.storage.names(f"entries/{name}"):
                    version = file.removesuffix(".json")
                    reference = f"{name}@{version}"
                    there[reference] = known.get(reference) or self.entry(name, version)
            known = there
        rows = [item for item in known.values() if target in (None, item.target)]
        return sorted(rows, key=lambda item: (item.target, item.order))

    def _indexed(self) -> list[Entry]:
        try:
            data = self.storage.read(simplestreams.PRODUCTS)
        except FileNotFoundError:
            return []
        return simplestreams.entries(data, source=f"{self.storage.url}/{simplestreams.PRODUCTS}")

    def entry(self, target: str, version: str) -> Entry:
        """One version. Raises SpecError when it is not there, RecordError for a broken one."""
        path = entry_file.path(target, version)
        source = f"{self.storage.url}/{path}"
        try:
            found = entry_file.parse(self.storage.read(path), source=source)
        except FileNotFoundError:
            raise SpecError(
                f"{target}@{version}: not in the catalog {self.storage.url}",
                "`notebake catalog list` shows what is",
            ) from None
        if (found.target, found.version) != (target, version):
            raise RecordError(f"{source}: speaks of {found.name}")
        return found

    def pointers(self, target: str) -> dict[str, str]:
        """Channel -> version."""
        rows = self.entries(target)
        return channels.pointers(channels.moves(self.storage, target), rows[-1].version if rows else None)

    def find(self, reference: str) -> Entry:
        """The entry that TARGET@CHANNEL or TARGET@VERSION means. Raises SpecError."""
        found = _REFERENCE.fullmatch(reference)
        if found is None:
            raise SpecError(f"{reference}: not TARGET@CHANNEL or TARGET@VERSION", "as in debian-13@stable")
        target, what = found["target"], found["what"]
        if what[0].isdigit():
            return self.entry(target, what)
        pointers = self.pointers(target)
        if what not in pointers:
            there = ", ".join(sorted(pointers)) or "none"
            raise SpecError(
                f"{reference}: there is no such channel in {self.storage.url}",
                f"channels of {target}: {there}; `notebake promote` moves one",
            )
        return self.entry(target, pointers[what])

    def file(self, entry: Entry, name: str) -> bytes:
        """A small file of an entry, checked against it. Raises RecordError."""
        path = f"{entry.folder}/{name}"
        try:
            data = self.storage.read(path)
        except FileNotFoundError:
            raise _missing(entry, name) from None
        if entry_file.describe(data) != entry.files.get(name):
            raise _changed(entry, name)
        return data

    def record(self, entry: Entry) -> Record:
        """The record of an entry, checked against it. Raises RecordError."""
        return records.parse(self.file(entry, entry.record), source=f"{entry.name}: {entry.record}")

    def image(self, entry: Entry, cache: Path) -> Path:
        """The disk of an entry as a local file with its record beside it, checked against the entry.

        A remote's is copied into `cache` once. Raises RecordError for a changed or missing one.
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
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                beside = Path(scratch) / entry.disk
                self._fetch(entry, beside)
                beside.replace(path)
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
        """Remove the index, whatever is in it: it follows from the entries."""
        for path in (simplestreams.INDEX, simplestreams.PRODUCTS):
            self.storage.remove(path)

    def write_index(self, *, indexed: bool = True) -> None:
        """Write the index anew from the entries, until no other writer came in between.

        `indexed`: see `entries`.
        """
        rows = self.entries(indexed=indexed)
        while True:
            for path, data in simplestreams.files(rows).items():
                self.storage.write(path, data)
            again = self.entries(indexed=indexed)
            if again == rows:
                return
            rows = again


def _missing(entry: Entry, name: str) -> RecordError:
    return RecordError(
        f"{entry.name}: {name} is not there", "the entry is broken: promote or launch another version"
    )


def _changed(entry: Entry, name: str) -> RecordError:
    return RecordError(
        f"{entry.name}: {name} is not what was put in (SHA-256 differs)",
        "the entry is broken: promote or launch another version",
    )


def check_clock(now: datetime, last: datetime | None) -> None:
    """RecordError when `now` is before `last`, the newest thing in the catalog."""
    if last is not None and now < last - _SKEW:
        raise RecordError(
            f"this computer's clock says {now:%Y-%m-%d %H:%M} UTC, but the catalog has something from "
            f"{last:%Y-%m-%d %H:%M}: one of both clocks is wrong",
            "set the clock, then do the same again",
        )
