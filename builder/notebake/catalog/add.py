"""Puts an image into a catalog: its files first, in a folder of this writer's own, its entry last."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from notebake.catalog import entry as entry_file
from notebake.catalog import provenance
from notebake.catalog.catalog import Catalog, check_clock
from notebake.catalog.entry import PROVENANCE, SUMS, Entry, File
from notebake.catalog.signing import Signer
from notebake.errors import RecordError, SpecError
from notebake.files import sha256
from notebake.record import diff, sbom, semver
from notebake.record import record as records
from notebake.record.record import ProbeReport, Record

_ATTEMPTS = 20


@dataclass(frozen=True, kw_only=True)
class Added:
    """The outcome of `add`. `fresh` is False when that very image was the newest one already."""

    entry: Entry
    fresh: bool


def add(catalog: Catalog, image: Path, *, signer: Signer, now: datetime, probe: ProbeReport | None) -> Added:
    """Put `image` with the record beside it into the catalog, under the version that follows.

    Nothing of it can be seen before all is there; a failure, or a writer that is killed, leaves the
    catalog as it was. Raises RecordError for an image that is not its record's, SpecError without one.
    """
    known = records.load(image)
    if not image.is_file():
        raise SpecError(f"{image}: no such image", "`notebake bake` makes one")
    if sha256(image) != known.image.sha256:
        raise RecordError(f"{image}: not the image its record speaks of (SHA-256 differs)", "bake it anew")
    if probe is not None:
        known = known.model_copy(update={"probe": probe})
    rows = catalog.entries(known.target)
    if rows and _same(rows[-1], known):
        return Added(entry=rows[-1], fresh=False)
    folder = f"images/{known.target}/{known.content_id[:12]}-{secrets.token_hex(4)}"
    try:
        catalog.storage.put(image, f"{folder}/{known.target}.qcow2")
        for _ in range(_ATTEMPTS):
            rows = catalog.entries(known.target)
            check_clock(now, rows[-1].created if rows else None)
            entry = _write_small(catalog, known, folder, _next(catalog, rows, known), signer, now)
            try:
                catalog.storage.create(entry_file.path(entry.target, entry.version), entry.to_json())
            except FileExistsError:
                continue  # another writer was quicker: the next version it is
            break
        else:
            raise RecordError(f"{known.target}: too many writers at once", "do the same again")
    except BaseException:
        catalog.storage.remove(folder)
        raise
    catalog.write_index()
    return Added(entry=entry, fresh=True)


def _same(newest: Entry, known: Record) -> bool:
    disk = newest.files[newest.disk].sha256
    return (newest.content_id, disk) == (known.content_id, known.image.sha256) and (
        newest.probed or known.probe is None
    )


def _next(catalog: Catalog, rows: list[Entry], known: Record) -> str:
    if not rows:
        return semver.FIRST
    newest = rows[-1]
    found = diff.difference(catalog.record(newest), known, names=(newest.name, "the new image"))
    return semver.following(newest.version, found.level)


def _write_small(
    catalog: Catalog, known: Record, folder: str, version: str, signer: Signer, now: datetime
) -> Entry:
    record = known.model_copy(update={"version": version})
    target = record.target
    small = {f"{target}.json": record.to_json(), f"{target}.cdx.json": sbom.render(record)}
    disk = File(sha256=record.image.sha256, bytes=record.image.bytes)
    files = {f"{target}.qcow2": disk} | {name: entry_file.describe(data) for name, data in small.items()}
    # As sha256sum writes and checks it.
    small[SUMS] = "".join(f"{file.sha256}  {name}\n" for name, file in sorted(files.items())).encode()
    files[SUMS] = entry_file.describe(small[SUMS])
    made = provenance.statement(record, {name: file.sha256 for name, file in files.items()})
    small[PROVENANCE] = signer.sign(made)
    files[PROVENANCE] = entry_file.describe(small[PROVENANCE])
    for name, data in small.items():
        catalog.storage.write(f"{folder}/{name}", data)
    return Entry(
        target=target, version=version, content_id=record.content_id, created=now,
        made_from=record.made_from, probed=record.probe is not None and record.probe.promotable,
        folder=folder, files=files,
    )  # fmt: skip
