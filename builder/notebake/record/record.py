"""The record of a baked image: what went in, what came out, what is in it, how long each step took.

It lies beside the image under the same name, and goes into the catalog with it. `notebake schema --record`
prints its JSON schema.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from notebake.errors import RecordError
from notebake.files import write_whole
from notebake.record.software import Software
from notebake.validation import FileName, StrictModel, TargetName, Version, first_problem

FORMAT: Literal[2] = 2
_DIGEST = r"^[0-9a-f]{64}$"


_Model = TypeVar("_Model", bound=BaseModel)


class Base(StrictModel):
    """What the image was made on: `id` over all that a base is made from; `sha256` of its disk."""

    id: str
    sha256: str | None = None
    url: str | None = None


class Commit(StrictModel):
    """The git state of the spec's folder: `clean` when nothing in it was changed or untracked."""

    id: str = Field(pattern=r"^[0-9a-f]{40,64}$")
    clean: bool


class Serving(StrictModel):
    """How the machine serves, for those who launch the image."""

    user: str
    port: int
    public_port: int
    profile: str
    pylab: str
    login: Literal["password", "token"]
    own_certificate: bool


class Image(StrictModel):
    """The disk. `mtime_ns` is this computer's, for a quick look whether the file is still the same one."""

    file: FileName
    sha256: str = Field(pattern=_DIGEST)
    bytes: int = Field(ge=0)
    mtime_ns: int


class Step(StrictModel):
    """One step of the bake."""

    step: str
    seconds: float


class ProbeResult(StrictModel):
    """One check of a probe."""

    name: str
    status: Literal["passed", "failed", "skipped"]
    seconds: float
    detail: str


class ProbeReport(StrictModel):
    """What `notebake probe --json` printed."""

    address: str
    started: AwareDatetime
    passed: bool
    seconds: float
    results: tuple[ProbeResult, ...]

    @property
    def green(self) -> bool:
        """Whether something passed and nothing failed, by the results themselves."""
        return (
            self.passed
            and any(item.status == "passed" for item in self.results)
            and not any(item.status == "failed" for item in self.results)
        )


class Record(StrictModel):
    """Everything that is known of one image."""

    format: Literal[2]
    made_from: Literal["bake", "fixture"] = Field(
        "bake", description="fixture: no machine was started for it, a test made it up."
    )
    content_id: str = Field(pattern=_DIGEST)
    inputs: dict[str, str] = Field(
        description="What the content id is made over: name -> SHA-256 or version."
    )
    version: Version | None = Field(None, description="MAJOR.MINOR.PATCH, given by the catalog.")
    target: TargetName
    platform: str
    created: AwareDatetime
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
        """As it is on disk."""
        return (json.dumps(self.model_dump(mode="json"), indent=2) + "\n").encode()


def schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a record."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Record.model_json_schema()}


def path_for(image: Path) -> Path:
    """Where the record of `image` is: the same name, ending in .json."""
    return image.with_suffix(".json")


def write(image: Path, record: Record) -> None:
    """Write the record of `image`. Raises CommandFailed."""
    write_whole(path_for(image), record.to_json())


def parse(data: bytes | str, *, source: str) -> Record:
    """A whole, checked Record from JSON; `source` names it in messages. Raises RecordError."""
    return _checked(Record, data, source, "record")


def parse_probe(data: bytes | str, *, source: str) -> ProbeReport:
    """The report that `notebake probe --json` printed. Raises RecordError."""
    return _checked(ProbeReport, data, source, "probe report")


def _checked(model: type[_Model], data: bytes | str, source: str, what: str) -> _Model:
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        raise RecordError(
            f"{source}: not a {what} of this notebake: {first_problem(error)}",
            "make it anew: `notebake bake --force`, `notebake probe --json`",
        ) from None


def load(path: Path) -> Record:
    """The record in the file `path`, or beside the image `path`. Raises RecordError."""
    if path.suffix != ".json":
        path = path_for(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RecordError(
            f"{path}: no record can be read here: {error.strerror}",
            "keep image and record together, or bake anew",
        ) from None
    return parse(data, source=str(path))


def is_current(image: Path, content_id: str) -> bool:
    """Whether `image` is the one its record speaks of and was made from `content_id`.

    Looks at size and modification time, not at every byte: an unchanged bake takes no second. Raises
    RecordError for a broken record.
    """
    if not (image.is_file() and path_for(image).exists()):
        return False
    found, status = load(image), image.stat()
    return found.content_id == content_id and (found.image.bytes, found.image.mtime_ns) == (
        status.st_size,
        status.st_mtime_ns,
    )
