"""Verify a catalog against its signatures: every byte of every file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping

from notebake.catalog import channels, provenance, simplestreams
from notebake.catalog import entry as entry_file
from notebake.catalog import head as heads
from notebake.catalog.catalog import Catalog
from notebake.catalog.channels import Move
from notebake.catalog.entry import PROVENANCE, Entry, File
from notebake.catalog.head import Head
from notebake.catalog.signing import Verifier
from notebake.errors import NotebakeError, RecordError
from notebake.record.record import Record


def check(catalog: Catalog, entry: Entry, verifier: Verifier | None) -> None:
    """Verify one entry: its signature, each byte of its files, and its own fields. Raises RecordError.

    Without `verifier` the digests in its provenance are believed.
    """
    signed = _signed(catalog, entry, verifier)
    metadata = catalog.file(entry, entry.metadata)
    expected = {entry.disk: entry.fingerprint, entry.container: entry.container_fingerprint}
    fingerprints = {name: hashlib.sha256(metadata) for name in expected if name in signed}
    for name, signed_digest in signed.items():
        also = [fingerprints[name]] if name in fingerprints else []
        try:
            digest, size = catalog.storage.digest(f"{entry.folder}/{name}", *also)
        except FileNotFoundError:
            raise RecordError(f"{entry.name}: {name} is missing") from None
        if digest != signed_digest:
            raise RecordError(f"{entry.name}: {name} was changed after signing (SHA-256 mismatch)")
        if entry.files.get(name) != File(sha256=digest, bytes=size):
            raise RecordError(f"{entry.name}: its entry does not match the signed digest of {name}")
    found = {name: digest.hexdigest() for name, digest in fingerprints.items()}
    if any(found.get(name) != fingerprint for name, fingerprint in expected.items()):
        raise RecordError(f"{entry.name}: its entry has another fingerprint for Incus than its files")
    _checked_record(catalog, entry)


def record(catalog: Catalog, entry: Entry, verifier: Verifier | None) -> Record:
    """Return the record of an entry, which must match it; verify signatures with `verifier`.

    Only small files are read: nothing is known of the disk. Raises RecordError.
    """
    for name, digest in _signed(catalog, entry, verifier).items():
        if name not in entry.files or entry.files[name].sha256 != digest:
            raise RecordError(f"{entry.name}: its entry does not match the signed digest of {name}")
    return _checked_record(catalog, entry)


def _signed(catalog: Catalog, entry: Entry, verifier: Verifier | None) -> dict[str, str]:
    """Return the signed digests of an entry's files, which must be all that it lists."""
    if verifier is None:
        return {name: file.sha256 for name, file in entry.files.items() if name != PROVENANCE}
    source = f"{entry.name}: {PROVENANCE}"
    statement = verifier.verify(catalog.file(entry, PROVENANCE), source=source)
    signed = provenance.subjects(statement, source=source)
    if not {*entry.files} <= {*signed, PROVENANCE}:
        raise RecordError(f"{entry.name}: its entry lists files that were not signed")
    return signed


def _checked_record(catalog: Catalog, entry: Entry) -> Record:
    record = catalog.record(entry)
    disk = entry.files.get(entry.disk)
    own = (entry.target, entry.version, entry.content_id, entry.made_from, disk and disk.sha256)
    passed = record.probe is not None and record.probe.passed
    its = (record.target, record.version, record.content_id, record.made_from, record.image.sha256)
    if own != its or (entry.probed and not passed):
        raise RecordError(f"{entry.name}: its entry does not match its record")
    return record


def problems(catalog: Catalog) -> list[str]:
    """Return every problem of a catalog, which must have `trust`, as one line; [] if it is whole."""
    try:
        head = catalog.head()
    except NotebakeError as error:
        return [error.message]
    lines = []
    entries = []
    verifier = catalog.verifier(head)
    for name in head.entries if head else ():
        try:
            entry = catalog.entry(*name.split("@"), head=head)
            entries.append(entry)
            check(catalog, entry, verifier)
        except NotebakeError as error:
            lines.append(error.message)
    lines += _unlisted(catalog, head, entries)
    if head is None:
        return lines
    disks = {entry.name: entry.files[entry.disk].sha256 for entry in entries if entry.disk in entry.files}
    for target in dict.fromkeys(move.target for move in head.moves):
        lines += channel_problems(target, head.of(target), disks)
    if len(entries) == len(head.entries):
        lines += _index_problems(catalog, head)
    return lines


def _index_problems(catalog: Catalog, head: Head) -> Iterator[str]:
    for path, data in catalog.index(head, indexed=False).items():
        try:
            matches = catalog.storage.read(path) == data
        except FileNotFoundError:
            matches = False
        if not matches:
            yield f"{path}: does not match the entries"


def _unlisted(catalog: Catalog, head: Head | None, entries: Iterable[Entry]) -> Iterator[str]:
    """Return a line for each file that nobody signed. A folder of a writer who is not done is none.

    A web server has no listing.
    """
    storage = catalog.storage
    if not storage.lists:
        return
    known = set(head.entries) if head else set()
    for target in storage.names("entries"):
        if not (files := storage.names(f"entries/{target}")):
            yield f"entries/{target}: not part of a catalog, and not signed"
        for file in files:
            path = f"entries/{target}/{file}"
            try:
                listed = entry_file.name(path) in known
            except ValueError:
                listed = False
            if not listed:
                yield f"{path}: not in the signed head (if a writer was killed, prune removes it in a day)"
    for entry in entries:
        for file in storage.names(entry.folder):
            if file not in entry.files:
                yield f"{entry.folder}/{file}: not signed"
    for file in storage.names(heads.FOLDER):
        if heads.numbers([file]) == [] or (head and heads.numbers([file])[0] > head.number):
            yield f"{heads.FOLDER}/{file}: newer than {heads.PATH}, which `--rebuild-index` renews"
    streams = {path.rsplit("/", 1)[1] for path in simplestreams.PATHS}
    for folder, names in (
        ("", {"entries", "images", "streams", heads.FOLDER, heads.PATH}),
        ("streams", {"v1"}),
        ("streams/v1", streams),
    ):
        for file in storage.names(folder):
            if file not in names:
                yield f"{folder}/{file}".lstrip("/") + ": not part of a catalog, and not signed"


def channel_problems(target: str, moves: list[Move], disks: Mapping[str, str]) -> list[str]:
    """Return a line for each channel that does not point to the image that was promoted to it.

    `disks`: SHA-256 of the disk of each existing TARGET@VERSION.
    """
    lines = []
    for channel in dict.fromkeys(move.channel for move in moves):
        version = (channels.history(moves, channel) or [""])[-1]
        disk = disks.get(f"{target}@{version}")
        if disk is None:
            lines.append(f"{target}@{channel}: points to {version}, which is missing")
        elif disk not in {move.disk for move in moves if move.version == version}:
            lines.append(f"{target}@{channel}: {version} is not the image that was promoted")
    return lines
