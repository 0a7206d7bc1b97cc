"""The record of a baked image: its inputs, the disk, the software in it, the duration of each step.

It is stored beside the image under the same name, and with it in the catalog. `notebake schema --record`
prints the JSON schema.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, Field

from notebake import files, validation
from notebake.documents import MAX_BYTES, DocumentError
from notebake.errors import RecordError, SpecError
from notebake.files import sha256, write_whole
from notebake.record.software import Software
from notebake.validation import Digest, FileName, Size, StrictModel, TargetName, Time, Version

FORMAT: Literal[2] = 2
_Model = TypeVar("_Model", bound=BaseModel)


class Base(StrictModel):
    """The base image. `id`: digest of the base image's inputs. `sha256`: digest of its disk.

    `date`: day on which it was made or published (YYYY-MM-DD).
    """

    id: str
    sha256: str | None = None
    url: str | None = None
    date: str | None = None


class Commit(StrictModel):
    """The git state of the spec's folder. `clean`: no changed and no untracked files."""

    id: str = Field(pattern=r"^[0-9a-f]{40,64}$")
    clean: bool


class Serving(StrictModel):
    """How the machine serves the notebook; `launch` reads it."""

    user: str
    admin: str = Field(description="The user that logs in over ssh.")
    port: int = Field(ge=1, le=65535)
    public_port: int = Field(ge=1, le=65535)
    profile: str
    pylab: str
    login: Literal["password", "token"]
    own_certificate: bool
    metadata: bool = Field(False, description="Kernels can reach a cloud's metadata service.")
    sudo: bool = Field(False, description="Kernels can become root by sudo.")
    base_url: str = Field("/", description="Path at which the server's pages begin.")


class Image(StrictModel):
    """The disk. `mtime_ns`: its modification time on this host, to detect an unchanged file quickly."""

    file: FileName
    sha256: Digest
    bytes: Size
    mtime_ns: Size


class Step(StrictModel):
    """One step of the bake."""

    step: str
    seconds: float


class ProbeResult(StrictModel):
    """The result of one check of a probe."""

    name: str
    status: Literal["passed", "failed", "skipped"]
    seconds: float
    detail: str


class ProbeReport(StrictModel):
    """A probe report, as `notebake probe --json` prints it. `image`: SHA-256 of the disk that it is on."""

    address: str
    image: Digest | None = None
    started: Time
    passed: bool
    seconds: float
    results: tuple[ProbeResult, ...]


class Record(StrictModel):
    """The record of one image."""

    format: Literal[2]
    made_from: Literal["bake", "fixture"] = Field(
        "bake", description="fixture: created by a test, not by a bake."
    )
    content_id: Digest
    inputs: dict[str, str] = Field(description="Inputs of the content id: name -> SHA-256 or version.")
    version: Version | None = Field(None, description="MAJOR.MINOR.PATCH, assigned by the catalog.")
    target: TargetName
    platform: str
    created: Time
    base: Base
    commit: Commit | None = None
    machine: Serving
    packages: tuple[str, ...] = Field(description="Locked Python packages, NAME==VERSION.")
    tools: dict[str, str]
    image: Image
    steps: tuple[Step, ...]
    software: Software
    probe: ProbeReport | None = None

    def to_json(self) -> bytes:
        """Return the bytes of the record file."""
        return (json.dumps(self.model_dump(mode="json"), indent=2) + "\n").encode()


def schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of a record."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Record.model_json_schema()}


def path_for(image: Path) -> Path:
    """Return the path of the record of `image`: the same name, ending in .json. Raises RecordError."""
    if not image.name:
        raise RecordError(f"{image}: not the name of an image", "for example: baked/debian-13.qcow2")
    return image.with_suffix(".json")


def write(image: Path, record: Record) -> None:
    """Write the record of `image`. Raises CommandFailed."""
    write_whole(path_for(image), record.to_json())


def parse(data: bytes, *, source: str) -> Record:
    """Parse and validate a record (JSON); `source` names it in messages. Raises RecordError."""
    return _checked(Record, data, source, "record", "bake --force")


def load_probe(path: Path) -> ProbeReport:
    """Read a probe report, the output of `notebake probe --json`. Raises RecordError, OSError."""
    data = files.read(path, limit=MAX_BYTES)
    return _checked(ProbeReport, data, str(path), "probe report", "probe --json")


def _checked(model: type[_Model], data: bytes, source: str, what: str, command: str) -> _Model:
    try:
        return validation.parse(model, data)
    except DocumentError as error:
        raise RecordError(
            f"{source}: not a valid {what} (written by another notebake version?): {error}",
            f"run `notebake {command}` to create it again",
        ) from None


def load(path: Path) -> Record:
    """Read the record in the file `path`, or the one beside the image `path`. Raises RecordError."""
    if path.suffix != ".json":
        path = path_for(path)
    try:
        data = files.read(path, limit=MAX_BYTES)
    except OSError as error:
        raise RecordError(
            f"{path}: no record: {error.strerror}",
            "keep the image and its record in the same folder, or bake again",
        ) from None
    return parse(data, source=str(path))


def verified(image: Path) -> Record:
    """Return the record beside `image` after reading every byte of the image.

    Raises SpecError for a missing image or one that does not match its record, RecordError without a record.
    """
    if not image.is_file():
        raise SpecError(f"{image}: no such image", "`notebake bake` makes one")
    known = load(image)
    if sha256(image) != known.image.sha256:
        raise SpecError(
            f"{image}: does not match its record (SHA-256 mismatch)", "bake it again with --force"
        )
    return known


def is_current(image: Path, content_id: str) -> bool:
    """Return whether `image` matches its record and was baked from `content_id`.

    Only the size and modification time are compared, not every byte: an unchanged bake takes less than a
    second. Raises RecordError for an invalid record.
    """
    if not (image.is_file() and path_for(image).exists()):
        return False
    record, status = load(image), image.stat()
    return record.content_id == content_id and (record.image.bytes, record.image.mtime_ns) == (
        status.st_size,
        status.st_mtime_ns,
    )
