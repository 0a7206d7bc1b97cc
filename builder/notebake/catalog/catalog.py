"""Read a catalog by its signed head: entries, channels, records and disks; write its index."""

from __future__ import annotations

import copy
import re
from datetime import datetime
from pathlib import Path

from notebake import scratch
from notebake.catalog import channels, signing, simplestreams
from notebake.catalog import entry as entry_file
from notebake.catalog import head as heads
from notebake.catalog.entry import Entry, File
from notebake.catalog.head import Head
from notebake.catalog.signing import Signer
from notebake.catalog.storage import Storage
from notebake.catalog.trust import Signers, Trust, together
from notebake.errors import CommandFailed, RecordError, SpecError
from notebake.files import sha256, write_whole
from notebake.record import record as records
from notebake.record.record import Record
from notebake.record.semver import number

_DAMAGED = "this version is damaged: promote or launch another one"
_REFERENCE = re.compile(r"(?P<target>[a-z][a-z0-9.-]*)@(?P<name>[a-z0-9][a-z0-9.-]*)")


def is_reference(text: str) -> bool:
    """Return whether `text` has the form TARGET@CHANNEL or TARGET@VERSION."""
    return _REFERENCE.fullmatch(text) is not None


class Catalog:
    """A catalog at a folder or URL. Every method may raise CommandFailed from its storage.

    With `trust` every head is verified, else RecordError; without, it is believed. Either way what a head
    lists must match its digest.
    """

    def __init__(self, url: str, trust: Trust | None = None) -> None:
        self.storage = Storage(url)
        self.trust = trust

    def signed_by(
        self, signer: Signer, now: datetime, *, expired: bool = False, new: bool = False
    ) -> Catalog:
        """Return this catalog for a writer, which also trusts `signer`.

        `expired`: an expired head is accepted. `new`: `signer` may be one that never signed this catalog.
        """
        known, memory = (self.trust.signers, self.trust.memory) if self.trust else (signer.verifier, None)
        writer = copy.copy(self)
        signers = together(signer.verifier, known)
        writer.trust = Trust(signers, now, memory, writer=signer.verifier.signers, expired=expired, new=new)
        return writer

    def verifier(self, head: Head | None) -> Signers | None:
        """Return the verifier for what `head` lists: by all who signed it; None without `trust`."""
        return self.trust.signers.plus(head.signers if head else ()) if self.trust else None

    def head(self) -> Head | None:
        """Return the head, or None for an empty catalog: its copy for readers, or for a writer the newest.

        Raises RecordError.
        """
        if self.trust is not None and self.trust.writer:
            return self.newest()
        try:
            found = self._parse(self.storage.read(heads.PATH), heads.PATH)
        except FileNotFoundError:
            if self.trust is not None:
                self.check_empty()
            return None
        return self._checked(found)

    def newest(self) -> Head | None:
        """Return the head to follow, as a writer must: its copy for readers may be older."""
        names = heads.numbers(self.storage.names(heads.FOLDER))
        found = []
        for path in (*map(heads.path, names[-1:]), heads.PATH):
            try:
                found.append(self._parse(self.storage.read(path), path))
            except FileNotFoundError:
                continue
        if not found:
            return None  # or another writer is about to sign the first one
        return self._checked(max(found, key=lambda head: head.number))

    def _parse(self, data: bytes, path: str) -> Head:
        verify = self.trust.signers.verify if self.trust else signing.unverified
        return heads.parse(verify(data, source=path), source=path)

    def _checked(self, head: Head) -> Head:
        if self.trust is not None:
            self.trust.check(self.storage.identity, head)
        return head

    def check_empty(self) -> None:
        """Raise RecordError for a catalog without a head that has entries, or had a head: it was removed."""
        memory = self.trust.memory if self.trust else None
        if self.storage.names("entries") or (memory and memory.seen(self.storage.identity)):
            raise RecordError(
                f"{self.storage.url}: its signed head {heads.PATH} is missing",
                "restore it from a backup; or add the images to a new catalog",
            )

    def publish(self, head: Head, signer: Signer) -> None:
        """Sign `head` and make it the newest. Raises FileExistsError if another writer was faster."""
        self.storage.create(heads.path(head.number), head.sign(signer))

    def entries(
        self, target: str | None = None, *, head: Head | None = None, indexed: bool = True
    ) -> list[Entry]:
        """Return all entries, or those of `target`, sorted by target and version. Raises RecordError.

        `head` lists them (default: the one for readers); the index provides the contents of most of them in
        one read. With `indexed=False` the index is not used: every entry is read from its own file.
        """
        head = head or self.head()
        if head is None:
            return []
        known = {entry.name: entry for entry in self._indexed()} if indexed else {}
        entries = [
            known[name]
            if name in known and entry_file.describe(known[name].to_json()).sha256 == digest
            else self.entry(*name.split("@"), head=head)
            for name, digest in head.entries.items()
            if target in (None, name.split("@")[0])
        ]
        return sorted(entries, key=lambda entry: (entry.target, entry.order))

    def _indexed(self) -> list[Entry]:
        try:
            data = self.storage.read(simplestreams.PRODUCTS)
        except FileNotFoundError:
            return []
        return simplestreams.entries(data, source=f"{self.storage.url}/{simplestreams.PRODUCTS}")

    def entry(self, target: str, version: str, *, head: Head | None = None) -> Entry:
        """Read the entry of one version. Raises SpecError if there is none, RecordError if it is invalid."""
        head = head or self.head()
        name = f"{target}@{version}"
        if head is None or name not in head.entries:
            raise SpecError(
                f"{name}: not in the catalog {self.storage.url}", "`notebake catalog list` shows its versions"
            )
        path = entry_file.path(target, version)
        try:
            data = self.storage.read(path)
        except FileNotFoundError:
            raise RecordError(f"{name}: its entry {path} is missing", _DAMAGED) from None
        entry = entry_file.parse(data, source=f"{self.storage.url}/{path}")
        if entry.name != name or entry_file.describe(data).sha256 != head.entries[name]:
            raise RecordError(f"{name}: its entry {path} was changed (SHA-256 mismatch)", _DAMAGED)
        return entry

    def pointers(self, target: str, *, head: Head | None = None) -> dict[str, str]:
        """Return the channels of `target`: channel -> version."""
        head = head or self.head()
        if head is None:
            return {}
        versions = [name.split("@")[1] for name in head.entries if name.split("@")[0] == target]
        return channels.pointers(head.of(target), max(versions, key=number, default=None))

    def find(self, reference: str) -> Entry:
        """Return the entry for TARGET@CHANNEL or TARGET@VERSION. Raises SpecError, RecordError.

        The disk of a channel's version must be the one that was promoted.
        """
        match = _REFERENCE.fullmatch(reference)
        if match is None:
            raise SpecError(
                f"{reference}: not TARGET@CHANNEL or TARGET@VERSION", "for example: debian-13@stable"
            )
        target, name = match["target"], match["name"]
        head = self.head()
        if name[0].isdigit():
            return self.entry(target, name, head=head)
        pointers = self.pointers(target, head=head)
        if head is None or name not in pointers:
            existing = ", ".join(sorted(pointers)) or "none"
            raise SpecError(
                f"{reference}: no such channel in {self.storage.url}",
                f"channels of {target}: {existing}; `notebake promote` creates one",
            )
        if f"{target}@{pointers[name]}" not in head.entries:
            raise RecordError(f"{reference}: points to {pointers[name]}, which is missing", _DAMAGED)
        entry = self.entry(target, pointers[name], head=head)
        promoted = {move.disk for move in head.of(target) if move.version == entry.version}
        if name != channels.CANDIDATE and entry.files[entry.disk].sha256 not in promoted:
            raise RecordError(f"{reference}: {entry.version} is not the image that was promoted", _DAMAGED)
        return entry

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
        digest = entry.files[entry.disk].sha256
        folder = cache / f"{entry.target}-{entry.version}-{digest[:12]}"
        path = folder / entry.disk
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(records.path_for(path), self.file(entry, entry.record))
        if not path.exists() or sha256(path) != digest:
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
        for path in simplestreams.PATHS:
            self.storage.remove(path)

    def write_index(self, *, indexed: bool = True, done: str | None = None) -> None:
        """Write what is derived from the newest head: its copy for readers, and the index.

        Repeats if another writer signed a newer one meanwhile. `indexed`: see `entries`. `done`: what is in
        the catalog already, for the message if this fails (CommandFailed, RecordError).
        """
        try:
            head = self.newest()
            while head is not None:
                self.storage.write(heads.PATH, self.storage.read(heads.path(head.number)))
                for path, data in self.index(head, indexed=indexed).items():
                    self.storage.write(path, data)
                written, head = head, self.newest()
                if head is None or head.number == written.number:
                    return
        except (CommandFailed, RecordError) as error:
            if done is None:
                raise
            raise type(error)(
                f"{done}; but the index could not be written: {error.message}",
                "nothing has to be done again: fix the problem, then write the index with "
                "`notebake catalog verify --rebuild-index`",
            ) from None

    def index(self, head: Head, *, indexed: bool = True) -> dict[str, bytes]:
        """Return the index of `head`: path -> bytes."""
        entries = self.entries(head=head, indexed=indexed)
        pointers = {target: self.pointers(target, head=head) for target in {each.target for each in entries}}
        return simplestreams.files(entries, pointers)


def _missing(entry: Entry, name: str) -> RecordError:
    return RecordError(f"{entry.name}: {name} is missing", _DAMAGED)


def _changed(entry: Entry, name: str) -> RecordError:
    return RecordError(f"{entry.name}: {name} was changed (SHA-256 mismatch)", _DAMAGED)
