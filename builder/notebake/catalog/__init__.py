"""The catalog: images by version, whole or not there, signed, and the channels that point to them."""

from __future__ import annotations

import hashlib
import re
import secrets
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from notebake import record as records
from notebake import sbom, signing, versions
from notebake.catalog import channels, provenance, streams
from notebake.catalog import entry as entry_file
from notebake.catalog.channels import Move
from notebake.catalog.entry import PROVENANCE, SUMS, Entry, File
from notebake.catalog.storage import Storage
from notebake.errors import RecordError, SpecError
from notebake.record import ProbeReport, Record
from notebake.signing import CryptoSigner

__all__ = ["Added", "Catalog", "Entry", "is_reference"]

# Clocks of different computers differ a little; more than this is a wrong clock.
_SKEW = timedelta(minutes=5)
_ATTEMPTS = 20
# No upload takes that long.
_ABANDONED = timedelta(days=1)
_REFERENCE = re.compile(r"(?P<target>[a-z][a-z0-9.-]*)@(?P<what>[a-z0-9][a-z0-9.-]*)")


@dataclass(frozen=True, kw_only=True)
class Added:
    """The outcome of `add`. `fresh` is False when that very image was the newest one already."""

    entry: Entry
    fresh: bool


def is_reference(text: str) -> bool:
    """Whether `text` is TARGET@CHANNEL or TARGET@VERSION."""
    return _REFERENCE.fullmatch(text) is not None


class Catalog:
    """A catalog at a folder or URL. Every method may raise CommandFailed from its storage."""

    def __init__(self, url: str) -> None:
        self.storage = Storage(url)

    # --- reading -----------------------------------------------------------------------------------

    def entries(self, target: str | None = None) -> list[Entry]:
        """All entries, or one target's, by target and version. Raises RecordError for a broken one.

        The index gives most in one read; which entries there are, the entries' own files say.
        """
        known = {item.name: item for item in self._indexed()}
        if self.storage.lists:
            targets = [target] if target else self.storage.names("entries")
            there = {}
            for name in targets:
                for file in self.storage.names(f"entries/{name}"):
                    version = file.removesuffix(".json")
                    reference = f"{name}@{version}"
                    there[reference] = known.get(reference) or self._entry(name, version)
            known = there
        rows = [item for item in known.values() if target in (None, item.target)]
        return sorted(rows, key=lambda item: (item.target, item.order))

    def _indexed(self) -> list[Entry]:
        try:
            data = self.storage.read(streams.PRODUCTS)
        except FileNotFoundError:
            return []
        return streams.entries(data, source=f"{self.storage.url}/{streams.PRODUCTS}")

    def _entry(self, target: str, version: str) -> Entry:
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
            return self._entry(target, what)
        pointers = self.pointers(target)
        if what not in pointers:
            there = ", ".join(sorted(pointers)) or "none"
            raise SpecError(
                f"{reference}: there is no such channel in {self.storage.url}",
                f"channels of {target}: {there}; `notebake promote` moves one",
            )
        return self._entry(target, pointers[what])

    def file(self, entry: Entry, name: str) -> bytes:
        """A small file of an entry, checked against it. Raises RecordError."""
        path = f"{entry.folder}/{name}"
        try:
            data = self.storage.read(path)
        except FileNotFoundError:
            raise _missing(entry, name) from None
        if _file(data) != entry.files.get(name):
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
        if records.sha256(destination) != entry.files[entry.disk].sha256:
            raise _changed(entry, entry.disk)

    def _check_disk(self, entry: Entry) -> None:
        try:
            digest, size = self.storage.digest(f"{entry.folder}/{entry.disk}")
        except FileNotFoundError:
            raise _missing(entry, entry.disk) from None
        if File(sha256=digest, bytes=size) != entry.files.get(entry.disk):
            raise _changed(entry, entry.disk)

    # --- writing -----------------------------------------------------------------------------------

    def add(self, image: Path, *, signer: CryptoSigner, now: datetime, probe: ProbeReport | None) -> Added:
        """Put `image` with the record beside it into the catalog, under the version that follows.

        Nothing of it can be seen before all is there; a failure, or a writer that is killed, leaves the
        catalog as it was. Raises RecordError for an image that is not its record's, SpecError without one.
        """
        known = records.load(image)
        if not image.is_file():
            raise SpecError(f"{image}: no such image", "`notebake bake` makes one")
        if records.sha256(image) != known.image.sha256:
            raise RecordError(
                f"{image}: not the image its record speaks of (SHA-256 differs)", "bake it anew"
            )
        if probe is not None:
            known = known.model_copy(update={"probe": probe})
        rows = self.entries(known.target)
        if rows and self._same(rows[-1], known):
            return Added(entry=rows[-1], fresh=False)
        folder = f"images/{known.target}/{known.content_id[:12]}-{secrets.token_hex(4)}"
        try:
            self.storage.put(image, f"{folder}/{known.target}.qcow2")
            for _ in range(_ATTEMPTS):
                rows = self.entries(known.target)
                _check_clock(now, rows[-1].created if rows else None)
                entry = self._write_small(known, folder, self._next(rows, known), signer, now)
                try:
                    self.storage.create(entry_file.path(entry.target, entry.version), entry.to_json())
                except FileExistsError:
                    continue  # another writer was quicker: the next version it is
                break
            else:
                raise RecordError(f"{known.target}: too many writers at once", "do the same again")
        except BaseException:
            self.storage.remove(folder)
            raise
        self.write_index()
        return Added(entry=entry, fresh=True)

    def _same(self, newest: Entry, known: Record) -> bool:
        disk = newest.files[newest.disk].sha256
        return (newest.content_id, disk) == (known.content_id, known.image.sha256) and (
            newest.probed or known.probe is None
        )

    def _next(self, rows: list[Entry], known: Record) -> str:
        if not rows:
            return versions.FIRST
        newest = rows[-1]
        found = versions.difference(self.record(newest), known, names=(newest.name, "the new image"))
        return versions.following(newest.version, found.level)

    def _write_small(
        self, known: Record, folder: str, version: str, signer: CryptoSigner, now: datetime
    ) -> Entry:
        record = known.model_copy(update={"version": version})
        target = record.target
        small = {f"{target}.json": record.to_json(), f"{target}.cdx.json": sbom.render(record)}
        disk = File(sha256=record.image.sha256, bytes=record.image.bytes)
        files = {f"{target}.qcow2": disk} | {name: _file(data) for name, data in small.items()}
        # As sha256sum writes and checks it.
        small[SUMS] = "".join(f"{file.sha256}  {name}\n" for name, file in sorted(files.items())).encode()
        files[SUMS] = _file(small[SUMS])
        made = provenance.statement(record, {name: file.sha256 for name, file in files.items()})
        small[PROVENANCE] = signing.sign(made, provenance.PAYLOAD_TYPE, signer)
        files[PROVENANCE] = _file(small[PROVENANCE])
        for name, data in small.items():
            self.storage.write(f"{folder}/{name}", data)
        return Entry(
            target=target, version=version, content_id=record.content_id, created=now,
            made_from=record.made_from, probed=record.probe is not None and record.probe.green,
            folder=folder, files=files,
        )  # fmt: skip

    def forget_index(self) -> None:
        """Remove the index, whatever is in it: it follows from the entries."""
        for path in (streams.INDEX, streams.PRODUCTS):
            self.storage.remove(path)

    def write_index(self) -> None:
        """Write the index anew from the entries, until no other writer came in between."""
        rows = self.entries()
        while True:
            for path, data in streams.files(rows).items():
                self.storage.write(path, data)
            again = self.entries()
            if again == rows:
                return
            rows = again

    def promote(self, entry: Entry, channel: str, *, signer: CryptoSigner, now: datetime) -> Move:
        """Point `channel` to `entry`: one whose probe was green and whose every byte is the signed one.

        Raises RecordError, and the channels are as they were.
        """
        from notebake.catalog import verification

        channels.check_name(channel)
        verification.check(self, entry, signer.public_key)
        probe = self.record(entry).probe
        if probe is None or not probe.green:
            failed = (
                ", ".join(item.name for item in probe.results if item.status == "failed") if probe else ""
            )
            raise RecordError(
                f"{entry.name}: {'its probe failed: ' + failed if probe else 'it was never probed'}",
                "notebake probe NAME --json > probe.json; notebake catalog add IMAGE --probe probe.json",
            )
        before = channels.moves(self.storage, entry.target, signer.public_key)
        current = channels.history(before, channel)
        if current and current[-1] == entry.version:
            raise SpecError(f"{entry.name}: is {channel} already")
        return self._move(entry.target, channel, "promote", entry.version, before, signer, now)

    def rollback(self, target: str, channel: str, *, signer: CryptoSigner, now: datetime) -> Move:
        """Point `channel` back to what it was before. Raises SpecError when it never was anything else."""
        from notebake.catalog import verification

        channels.check_name(channel)
        before = channels.moves(self.storage, target, signer.public_key)
        past = channels.history(before, channel)
        if len(past) < 2:
            raise SpecError(f"{target}@{channel}: there is nothing to go back to")
        verification.check(self, self._entry(target, past[-2]), signer.public_key)
        return self._move(target, channel, "rollback", past[-2], before, signer, now)

    def _move(
        self, target: str, channel: str, action: str, version: str, before: list[Move], signer: CryptoSigner,
        now: datetime,
    ) -> Move:  # fmt: skip
        _check_clock(now, before[-1].at if before else None)
        move = Move.model_validate(
            {
                "number": len(before) + 1, "target": target, "channel": channel, "action": action,
                "version": version, "at": now, "before": channels.tip(self.storage, target),
            }
        )  # fmt: skip
        channels.append(self.storage, move, signer)
        return move

    def prune(self, *, older_than: timedelta, now: datetime, dry_run: bool) -> list[Entry]:
        """Remove entries older than `older_than` that no channel needs; returns them.

        What a channel is, what it was before, and the newest version of each target stay. In a local
        folder, what killed writers left goes too once it is a day old. Raises RecordError for a clock that is behind the newest entry.
        """
        rows = self.entries()
        _check_clock(now, max((item.created for item in rows), default=None))
        kept = set()
        for target in {item.target for item in rows}:
            moves = channels.moves(self.storage, target)
            kept |= {f"{target}@{version}" for name in {move.channel for move in moves}
                     for version in channels.history(moves, name)[-2:]}  # fmt: skip
            kept.add([item.name for item in rows if item.target == target][-1])
        gone = [item for item in rows if item.name not in kept and now - item.created > older_than]
        if dry_run:
            return gone
        for item in gone:
            # First it is no entry any more, then its files go.
            self.storage.remove(entry_file.path(item.target, item.version))
            self.storage.remove(item.folder)
        for folder in self._leftovers(now):
            self.storage.remove(folder)
        self.write_index()
        return gone

    def _leftovers(self, now: datetime) -> list[str]:
        """Folders that no entry names and that no writer can be at work in any more."""
        root = self.storage.local
        if root is None:
            return []
        named = {item.folder for item in self.entries()}
        found = [path for path in root.glob("images/*/*") if path.relative_to(root).as_posix() not in named]
        return [
            path.relative_to(root).as_posix()
            for path in found
            if now.timestamp() - path.stat().st_mtime > _ABANDONED.total_seconds()
        ]


def _file(data: bytes) -> File:
    return File(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))


def _missing(entry: Entry, name: str) -> RecordError:
    return RecordError(
        f"{entry.name}: {name} is not there", "the entry is broken: promote or launch another version"
    )


def _changed(entry: Entry, name: str) -> RecordError:
    return RecordError(
        f"{entry.name}: {name} is not what was put in (SHA-256 differs)",
        "the entry is broken: promote or launch another version",
    )


def _check_clock(now: datetime, last: datetime | None) -> None:
    if last is not None and now < last - _SKEW:
        raise RecordError(
            f"this computer's clock says {now:%Y-%m-%d %H:%M} UTC, but the catalog has something from "
            f"{last:%Y-%m-%d %H:%M}: one of both clocks is wrong",
            "set the clock, then do the same again",
        )
