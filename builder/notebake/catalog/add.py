"""Add an image to a catalog: its files first, in a folder unique to this writer, its entry, the head last."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from notebake.catalog import entry as entry_file
from notebake.catalog import head as heads
from notebake.catalog import incus_image, probed, provenance
from notebake.catalog.catalog import Catalog
from notebake.catalog.entry import PROVENANCE, SUMS, Entry, File
from notebake.catalog.gate import Gate
from notebake.catalog.head import Head
from notebake.catalog.signing import Signer
from notebake.catalog.vulnerabilities import Report
from notebake.errors import NotebakeError, RecordError, SpecError
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
    for one that does not pass the `gate`, whose report is stored with it. If only the index could not be
    written, the error says that the version is in the catalog.
    """
    record = records.load(image)
    if not image.is_file():
        raise SpecError(f"{image}: no such image", "`notebake bake` creates one")
    if sha256(image) != record.image.sha256:
        raise RecordError(f"{image}: does not match its record (SHA-256 mismatch)", "bake it again")
    if probe is not None:
        probed.check_subject(probe, record, now)
        record = record.model_copy(update={"probe": probe})
    report = gate.check(record, name=record.target) if gate else None
    catalog = catalog.signed_by(signer, now)
    head = catalog.newest()
    newest = catalog.entries(record.target, head=head)[-1:] if head else []
    if newest and _same(newest[0], record, container):
        return Added(entry=newest[0], is_new=False)
    folder = f"images/{record.target}/{record.content_id[:12]}-{secrets.token_hex(4)}"
    entry = None
    try:
        catalog.storage.put(image, f"{folder}/{record.target}.qcow2")
        if container is not None:
            catalog.storage.put(container, f"{folder}/{record.target}.squashfs")
        for _ in range(_ATTEMPTS):
            head = catalog.newest()
            version = _next(catalog, head, record)
            entry = _write_small(catalog, image, container, record, report, folder, version, signer, now)
            if _publish(catalog, head, entry, signer, now):
                break
        else:
            raise RecordError(f"{record.target}: too many concurrent writers", "run the same command again")
    except BaseException:
        if entry is None or not _is_listed(catalog, entry):
            catalog.storage.remove(folder)
        raise
    catalog.write_index(done=f"{entry.name}: added")
    return Added(entry=entry, is_new=True)


def _publish(catalog: Catalog, head: Head | None, entry: Entry, signer: Signer, now: datetime) -> bool:
    """Write the entry and a head that lists it; return False, with neither, if another writer was faster."""
    path, data = entry_file.path(entry.target, entry.version), entry.to_json()
    try:
        catalog.storage.create(path, data)
    except FileExistsError:
        return False
    known = head.entries if head else {}
    digest = entry_file.describe(data).sha256
    try:
        following = heads.following(head, signer=signer, now=now, entries={**known, entry.name: digest})
        catalog.publish(following, signer)
    except BaseException as error:
        if not _is_listed(catalog, entry):
            catalog.storage.remove(path)
        if isinstance(error, FileExistsError):
            return False
        raise
    return True


def _is_listed(catalog: Catalog, entry: Entry) -> bool:
    """Return whether the newest head lists this very entry; True if that cannot be known."""
    try:
        head = catalog.newest()
    except NotebakeError:
        return True
    return head is not None and head.entries.get(entry.name) == entry_file.describe(entry.to_json()).sha256


def _same(newest: Entry, record: Record, container: Path | None) -> bool:
    disk = newest.files[newest.disk].sha256
    return (newest.content_id, disk) == (record.content_id, record.image.sha256) and (
        (newest.probed or record.probe is None)
        and (newest.container_fingerprint is not None or container is None)
    )


def _next(catalog: Catalog, head: Head | None, record: Record) -> str:
    entries = catalog.entries(record.target, head=head) if head else []
    version = semver.FIRST
    if entries:
        newest = entries[-1]
        difference = diff.difference(catalog.record(newest), record, names=(newest.name, "the new image"))
        version = semver.following(newest.version, difference.level)
    # A file that the head does not list is that of a killed writer, or of one who is not done yet.
    taken = set(catalog.storage.names(f"entries/{record.target}"))
    while f"{version}.json" in taken:
        version = semver.following(version, "patch")
    return version


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
        made_from=record.made_from, probed=probed.problem(record) is None,
        fingerprint=incus_image.fingerprint(metadata, image),
        container_fingerprint=container and incus_image.fingerprint(metadata, container),
        folder=folder, files=files,
    )  # fmt: skip
