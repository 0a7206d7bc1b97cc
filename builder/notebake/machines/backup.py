"""Save what the notebook's user keeps on a machine in one file, and put it on another machine.

The file is a tar of two members: `manifest.json`, and `content.tar.gz` with the notebooks, the packages that
the user installed and the settings. `tar -xOf FILE content.tar.gz | tar -xz` unpacks it without notebake.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import IO, Annotated, Any, Literal

from pydantic import Field

from notebake import documents, files, process, validation
from notebake.errors import RecordError, SpecError
from notebake.machines import inside
from notebake.machines.machine import Machine

MANIFEST = "manifest.json"
CONTENT = "content.tar.gz"
_BLOCK = 1 << 20
# The manifest is written last, into the room that is left for it: blanks fill it.
_ROOM = 1 << 16
_ROOM_BLOCKS = tarfile.BLOCKSIZE + _ROOM + tarfile.BLOCKSIZE


class Content(validation.StrictModel):
    """The content's size in bytes and its SHA-256."""

    size: validation.Size
    sha256: validation.Digest


class Manifest(validation.StrictModel):
    """What a backup holds and where it comes from.

    `members`: files, folders and links; `left_out`: the first of those that were not saved, and why, of
    `left_out_in_all`; `layer`: the system that the user's packages need.
    """

    format: Literal[1] = 1
    machine: str
    target: str
    date: validation.Time
    notebake: str
    layer: Annotated[str, Field(pattern=r"^[^\x00-\x1f]{1,500}$")]
    members: int
    left_out: tuple[str, ...]
    left_out_in_all: int
    content: Content


def save(machine: Machine, path: Path, *, now: datetime) -> Manifest:
    """Write a backup of the machine to `path` (0600), which is complete or unchanged; return its manifest.

    Raises SpecError, CommandFailed.
    """
    inside.check(machine)
    try:
        with files.beside(path, b"", 0o600) as temporary:
            with open(temporary, "r+b") as file:
                manifest = _write(machine, file, now)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
    except OSError as error:
        raise files.unwritable(path, error) from None
    return manifest


def _write(machine: Machine, file: IO[bytes], now: datetime) -> Manifest:
    digest = hashlib.sha256()
    file.seek(_ROOM_BLOCKS)

    def take(block: bytes) -> None:
        digest.update(block)
        file.write(block)

    argv, program = inside.command(machine, "home", "backup")
    done = process.stream(argv, source=[program], sink=take)
    if done.returncode:
        raise inside.failed(machine, done.returncode, done.stdout)
    size = file.tell() - _ROOM_BLOCKS
    file.write(bytes(-size % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE))
    try:
        facts = documents.parse_json(process.tail(done.stdout, 1).encode())
        manifest = Manifest(
            machine=machine.name,
            target=machine.target,
            date=now.astimezone(UTC).replace(microsecond=0),
            notebake=version("notebake"),
            content=Content(size=size, sha256=digest.hexdigest()),
            **facts,
        )
    except (ValueError, TypeError):
        raise inside.failed(machine, 0, done.stdout) from None
    text = json.dumps(manifest.model_dump(mode="json"), indent=2).encode() + b"\n"
    file.seek(0)
    file.write(_header(MANIFEST, _ROOM, now) + text.ljust(_ROOM) + _header(CONTENT, size, now))
    return manifest


def _header(name: str, size: int, now: datetime) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o600, int(now.timestamp())
    # One block: GNU's format writes sizes from 8 GiB on as binary.
    return info.tobuf(tarfile.GNU_FORMAT)


@contextmanager
def verified(path: Path) -> Iterator[tuple[Manifest, IO[bytes]]]:
    """Yield a backup's manifest, and its content as a file, after every byte of it has been checked.

    Raises SpecError if it cannot be read, RecordError if it is not a complete backup.
    """
    broken = "copy it again from where it was saved, or make another: notebake backup NAME"
    try:
        with tarfile.open(path, "r:") as tar:
            first, second = tar.next(), tar.next()
            found = [(each.name, each.isreg()) for each in (first, second) if each]
            if found != [(MANIFEST, True), (CONTENT, True)] or first is None or second is None:
                raise RecordError(f"{path}: not a backup of notebake", "notebake backup NAME makes one")
            text, content = tar.extractfile(first), tar.extractfile(second)
            assert text is not None and content is not None
            manifest = validation.parse(Manifest, text.read(_ROOM))
            digest = hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]
            if digest != manifest.content.sha256:
                raise RecordError(f"{path}: does not match its manifest (SHA-256 mismatch)", broken)
            content.seek(0)
            yield manifest, content
    except documents.DocumentError as error:
        raise RecordError(
            f"{path}: not a valid manifest (written by another notebake version?): {error}", broken
        ) from None
    except (tarfile.TarError, EOFError, ValueError):
        raise RecordError(f"{path}: not a backup of notebake, or only a part of one", broken) from None
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror or error}", "check the path") from None


def restore(machine: Machine, path: Path) -> dict[str, Any]:
    """Put the files of the backup `path` on the machine; what it has beside them stays.

    Return `members`: how many files, folders and links; `layer`: whether the backup has packages that the
    user installed; `layer_left_out`: why they were left out, or None. Raises SpecError, RecordError,
    CommandFailed; then no file on the machine was changed.
    """
    with verified(path) as (manifest, content):
        inside.check(machine)
        argv, program = inside.command(machine, "home", "restore", manifest.layer)
        blocks = iter(lambda: content.read(_BLOCK), b"")
        done = process.stream(argv, source=itertools.chain([program], blocks))
    if done.returncode:
        raise inside.failed(machine, done.returncode, done.stdout)
    try:
        facts = documents.parse_json(process.tail(done.stdout, 1).encode())
        here = facts.pop("here")
    except (ValueError, KeyError):
        raise inside.failed(machine, 0, done.stdout) from None
    why = None
    if facts["layer"] and here != manifest.layer:
        why = f"they need {manifest.layer}; this machine has {here}"
    return {**facts, "layer_left_out": why}
