"""Add an image to a catalog: its files first, in a folder unique to this writer; its entry last."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from notebake.catalog import entry as entry_file
from notebake.catalog import incus_image, provenance
from notebake.catalog.catalog import Catalog, check_clock
from notebake.catalog.entry import PROVENANCE, SUMS, Entry, File
from notebake.catalog.gate import Gate
from notebake.catalog.signing import Signer
from notebake.catalog.vulnerabilities import Report
from notebake.errors import RecordError, SpecError
from notebake.files import sha256
from notebake.record import diff, sbom, semver
from notebake.record import record as records
from notebake.record.record import ProbeReport, Record

_ATTEMPTS = 20


@dataclass(frozen=True, kw_only=True)
class Added:
    """The result of `add`. `is_new` is False if the image already was the newest version."""

    entry: Entry
    is_new: bool


def add(
    catalog: Catalog,
    image: Path,
    *,
    signer: Signer,
    now: datetime,
    probe: ProbeReport | None,
    gate: Gate | None = None,
    container: Path | None = None,
) -> Added:
    """Add `image`, with the record beside it, as the next version, and its container form, a squashfs.

    Readers see it only when it is complete: a failure or a killed writer leaves the catalog unchanged.
    Raises RecordError for an image that does not match its record, SpecError for a missing image, CheckFailed
    for one that does not pass the `gate`, whose report is stored with it.
    """
    record = records.load(image)
    if not image.is_file():
        raise SpecError(f"{image}: no such image", "`notebake bake` creates one")
    if sha256(image) != record.image.sha256:
        raise RecordError(f"{image}: does not match its record (SHA-256 mismatch)", "bake it again")
    if probe is not None:
        record = record.model_copy(update={"probe": probe})
    report = gate.check(record, name=record.target) if gate else None
    entries = catalog.entries(record.target)
    if entries and _same(entries[-1], record, container):
        return Added(entry=entries[-1], is_new=False)
    folder = f"images/{record.target}/{record.content_id[:12]}-{secrets.token_hex(4)}"
    try:
        catalog.storage.put(image, f"{folder}/{record.target}.qcow2")
        if container is not None:
            catalog.storage.put(container, f"{folder}/{record.target}.squashfs")
        for _ in range(_ATTEMPTS):
            entries = catalog.entries(record.target)
            check_clock(now, entries[-1].created if entries else None)
            version = _next(catalog, entries, record)
            entry = _write_small(catalog, image, container, record, report, folder, version, signer, now)
            try:
                catalog.storage.create(entry_file.path(entry.target, entry.version), entry.to_json())
            except FileExistsError:
                continue  # another writer took this version: try the next one
            break
        else:
            raise RecordError(f"{record.target}: too many concurrent writers", "run the same command again")
    except BaseException:
        catalog.storage.remove(folder)
        raise
    catalog.write_index()
    return Added(entry=entry, is_new=True)


def _same(newest: Entry, record: Record, container: Path | None) -> bool:
    disk = newest.files[newest.disk].sha256
    return (newest.content_id, disk) == (record.content_id, record.image.sha256) and (
        (newest.probed or record.probe is None)
        and (newest.container_fingerprint is not None or container is None)
    )


def _next(catalog: Catalog, entries: list[Entry], record: Record) -> str:
    if not entries:
        return semver.FIRST
    newest = entries[-1]
    difference = diff.difference(catalog.record(newest), record, names=(newest.name, "the new image"))
    return semver.following(newest.version, difference.level)


def _write_small(
    catalog: Catalog,
    image: Path,
    container: Path | None,
    record: Record,
    report: Report | None,
    folder: str,
    version: str,
    signer: Signer,
    now: datetime,
) -> Entry:
    record = record.model_copy(update={"version": version})
    target = record.target
    metadata = incus_image.metadata(target, version, now)
    small = {
        f"{target}.json": record.to_json(),
        f"{target}.cdx.json": sbom.render(record),
        f"{target}.incus.tar.xz": metadata,
    }
    if report is not None:
        small[f"{target}.vulnerabilities.json"] = report.to_json()
    disk = File(sha256=record.image.sha256, bytes=record.image.bytes)
    files = {f"{target}.qcow2": disk} | {name: entry_file.describe(data) for name, data in small.items()}
    if container is not None:
        size = container.stat().st_size
        files[f"{target}.squashfs"] = File(sha256=sha256(container), bytes=size)
    # The format of sha256sum.
    small[SUMS] = "".join(f"{file.sha256}  {name}\n" for name, file in sorted(files.items())).encode()
    files[SUMS] = entry_file.describe(small[SUMS])
    statement = provenance.statement(record, {name: file.sha256 for name, file in files.items()})
    small[PROVENANCE] = signer.sign(statement)
    files[PROVENANCE] = entry_file.describe(small[PROVENANCE])
    for name, data in small.items():
        catalog.storage.write(f"{folder}/{name}", data)
    return Entry(
        target=target, version=version, content_id=record.content_id, created=now,
        made_from=record.made_from, probed=record.probe is not None and record.probe.promotable,
        fingerprint=incus_image.fingerprint(metadata, image),
        container_fingerprint=container and incus_image.fingerprint(metadata, container),
        folder=folder, files=files,
    )  # fmt: skip
