"""Whether a catalog is what its makers signed: every byte of every file."""

from __future__ import annotations

from notebake.catalog import channels, provenance, simplestreams
from notebake.catalog import entry as entry_file
from notebake.catalog.catalog import Catalog
from notebake.catalog.entry import PROVENANCE, Entry, File
from notebake.catalog.signing import Verifier
from notebake.errors import NotebakeError, RecordError
from notebake.record import record as records


def check(catalog: Catalog, entry: Entry, maker: Verifier) -> None:
    """One entry: its signature, each of its files, and what it says of itself. Raises RecordError."""
    source = f"{entry.name}: {PROVENANCE}"
    statement = maker.verify(catalog.file(entry, PROVENANCE), source=source)
    signed = provenance.subjects(statement, source=source)
    for name, digest in signed.items():
        try:
            found, size = catalog.storage.digest(f"{entry.folder}/{name}")
        except FileNotFoundError:
            raise RecordError(f"{entry.name}: {name} is not there") from None
        if found != digest:
            raise RecordError(f"{entry.name}: {name} is not what was signed (SHA-256 differs)")
        if entry.files.get(name) != File(sha256=found, bytes=size):
            raise RecordError(f"{entry.name}: its entry says other things of {name} than was signed")
    if set(entry.files) != {*signed, PROVENANCE}:
        raise RecordError(f"{entry.name}: its entry names files that were not signed")
    record = records.parse(catalog.file(entry, entry.record), source=f"{entry.name}: {entry.record}")
    own = (entry.target, entry.version, entry.content_id, entry.made_from, entry.probed)
    probed = record.probe is not None and record.probe.promotable
    if own != (record.target, record.version, record.content_id, record.made_from, probed):
        raise RecordError(f"{entry.name}: its entry and its record differ")


def problems(catalog: Catalog, maker: Verifier) -> list[str]:
    """All that is wrong with a catalog, a line each; none when it is whole."""
    found = []
    listed = catalog.entries()
    rows = []
    for item in listed:
        try:
            path = entry_file.path(item.target, item.version)
            own = entry_file.parse(catalog.storage.read(path), source=item.name)
            rows.append(own)
            check(catalog, own, maker)
        except FileNotFoundError:
            found.append(f"{item.name}: the index names it, the catalog has it not")
        except NotebakeError as error:
            found.append(error.message)
    for path, data in simplestreams.files(rows).items():
        try:
            same = catalog.storage.read(path) == data
        except FileNotFoundError:
            same = not rows
        if not same:
            found.append(f"{path}: not what follows from the entries")
    there = {item.name: item.files[item.disk].sha256 for item in rows if item.disk in item.files}
    for target in {item.target for item in rows}:
        try:
            moves = channels.moves(catalog.storage, target, maker)
        except NotebakeError as error:
            found.append(error.message)
            continue
        for channel in dict.fromkeys(move.channel for move in moves):
            version = channels.history(moves, channel)[-1]
            disk = there.get(f"{target}@{version}")
            if disk is None:
                found.append(f"{target}@{channel}: points to {version}, which is not there")
            elif disk not in {move.disk for move in moves if move.version == version}:
                found.append(
                    f"{target}@{channel}: was pointed to another {version} than the one that is there"
                )
    return found
