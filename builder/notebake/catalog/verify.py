"""Verify a catalog against its signatures: every byte of every file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from notebake.catalog import channels, provenance, simplestreams
from notebake.catalog import entry as entry_file
from notebake.catalog.catalog import Catalog
from notebake.catalog.channels import Move
from notebake.catalog.entry import PROVENANCE, Entry, File
from notebake.catalog.signing import Verifier
from notebake.errors import NotebakeError, RecordError
from notebake.record.record import Record


def check(catalog: Catalog, entry: Entry, verifier: Verifier) -> None:
    """Verify one entry: its signature, each byte of its files, and its own fields. Raises RecordError."""
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
    if verifier is not None:
        for name, digest in _signed(catalog, entry, verifier).items():
            if name not in entry.files or entry.files[name].sha256 != digest:
                raise RecordError(f"{entry.name}: its entry does not match the signed digest of {name}")
    return _checked_record(catalog, entry)


def _signed(catalog: Catalog, entry: Entry, verifier: Verifier) -> dict[str, str]:
    """Return the signed digests of an entry's files, which must be all that it lists."""
    source = f"{entry.name}: {PROVENANCE}"
    statement = verifier.verify(catalog.file(entry, PROVENANCE), source=source)
    signed = provenance.subjects(statement, source=source)
    if not {*entry.files} <= {*signed, PROVENANCE}:
        raise RecordError(f"{entry.name}: its entry lists files that were not signed")
    return signed


def _checked_record(catalog: Catalog, entry: Entry) -> Record:
    record = catalog.record(entry)
    own = (entry.target, entry.version, entry.content_id, entry.made_from, entry.probed)
    probed = record.probe is not None and record.probe.promotable
    if own != (record.target, record.version, record.content_id, record.made_from, probed):
        raise RecordError(f"{entry.name}: its entry does not match its record")
    return record


def problems(catalog: Catalog, verifier: Verifier) -> list[str]:
    """Return every problem of a catalog as one line; an empty list if it matches its signatures."""
    lines = []
    entries = []
    for indexed in catalog.entries():
        try:
            path = entry_file.path(indexed.target, indexed.version)
            entry = entry_file.parse(catalog.storage.read(path), source=indexed.name)
            entries.append(entry)
            check(catalog, entry, verifier)
        except FileNotFoundError:
            lines.append(f"{indexed.name}: in the index, but not in the catalog")
        except NotebakeError as error:
            lines.append(error.message)
    disks = {entry.name: entry.files[entry.disk].sha256 for entry in entries if entry.disk in entry.files}
    newest = {entry.target: entry.version for entry in entries}
    pointers = {}
    for target in newest:
        try:
            moves = channels.moves(catalog.storage, target, verifier)
        except NotebakeError as error:
            lines.append(error.message)
            continue
        lines += channel_problems(target, moves, disks)
        pointers[target] = channels.pointers(moves, newest[target])
    for path, data in simplestreams.files(entries, pointers).items():
        try:
            matches = catalog.storage.read(path) == data
        except FileNotFoundError:
            matches = not entries
        if not matches and (pointers.keys() == newest.keys() or path != simplestreams.INCUS):
            lines.append(f"{path}: does not match the entries")
    return lines


def channel_problems(target: str, moves: list[Move], disks: Mapping[str, str]) -> list[str]:
    """Return a line for each channel that does not point to the image that was promoted to it.

    `disks`: SHA-256 of the disk of each existing TARGET@VERSION.
    """
    lines = []
    for channel in dict.fromkeys(move.channel for move in moves):
        version = channels.history(moves, channel)[-1]
        disk = disks.get(f"{target}@{version}")
        if disk is None:
            lines.append(f"{target}@{channel}: points to {version}, which is missing")
        elif disk not in {move.disk for move in moves if move.version == version}:
            lines.append(f"{target}@{channel}: {version} is not the image that was promoted")
    return lines
