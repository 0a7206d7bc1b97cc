"""An entry: one version of a target's image. A version exists if and only if the signed head lists its entry.

`entries/TARGET/VERSION.json` is written after its files, atomically, and never overwritten. Its files are in
`images/TARGET/...`, in a folder unique to their writer.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Literal

from pydantic import Field, model_validator

from notebake import validation
from notebake.documents import DocumentError
from notebake.errors import RecordError
from notebake.record.semver import number
from notebake.validation import Digest, FileName, Size, StrictModel, TargetName, Time, Version

SUMS = "SHA256SUMS"
PROVENANCE = "provenance.dsse.json"
_PATH = re.compile(r"entries/([a-z][a-z0-9.-]*)/(\d{1,9}\.\d{1,9}\.\d{1,9})\.json", re.ASCII)


class File(StrictModel):
    """Digest and size of a file of an entry."""

    sha256: Digest
    bytes: Size


def describe(data: bytes) -> File:
    """Return the digest and size of `data`."""
    return File(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))


class Entry(StrictModel):
    """One version: the facts that lists show, and its files.

    `folder` is relative to the catalog, below the target's folder. `fingerprint` is the image's in Incus and
    LXD: the SHA-256 of its metadata tar followed by the disk. `container_fingerprint`: followed by the
    squashfs instead, its container form (None: it has none).
    """

    format: Literal[1] = 1
    target: TargetName
    version: Version
    content_id: str
    created: Time
    made_from: Literal["bake", "fixture"]
    probed: bool
    fingerprint: Digest
    container_fingerprint: Digest | None = None
    folder: str = Field(pattern=r"^images/[a-z][a-z0-9.-]*/[a-z0-9][a-z0-9.-]*$")
    files: dict[FileName, File]

    @model_validator(mode="after")
    def _own_folder(self) -> Entry:
        if not self.folder.startswith(f"images/{self.target}/"):
            raise ValueError("folder: not below the target's folder")
        return self

    @property
    def name(self) -> str:
        """TARGET@VERSION."""
        return f"{self.target}@{self.version}"

    @property
    def order(self) -> tuple[int, int, int]:
        """The version as numbers, to sort by."""
        return number(self.version)

    @property
    def disk(self) -> str:
        """The file name of the disk."""
        return f"{self.target}.qcow2"

    @property
    def container(self) -> str:
        """The file name of the container form, a squashfs, which not every entry has."""
        return f"{self.target}.squashfs"

    @property
    def record(self) -> str:
        """The file name of the record."""
        return f"{self.target}.json"

    @property
    def metadata(self) -> str:
        """The file name of the metadata tar for Incus and LXD."""
        return f"{self.target}.incus.tar.xz"

    def to_json(self) -> bytes:
        """Return the bytes of the entry file: the same for the same entry, also for one from the index."""
        return (json.dumps(self.model_dump(mode="json"), sort_keys=True) + "\n").encode()


def path(target: str, version: str) -> str:
    """Return the path of the entry file, relative to the catalog."""
    return f"entries/{target}/{version}.json"


def name(path: str) -> str:
    """Return TARGET@VERSION for the path of an entry file. Raises ValueError."""
    match = _PATH.fullmatch(path)
    if match is None:
        raise ValueError(f"{path!r} is not the path of an entry")
    return f"{match[1]}@{match[2]}"


def parse(data: bytes, *, source: str) -> Entry:
    """Parse an entry file. Raises RecordError."""
    try:
        return validation.parse(Entry, data)
    except DocumentError as error:
        raise RecordError(f"{source}: not an entry of a catalog: {error}") from None
