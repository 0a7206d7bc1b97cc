"""An entry: one version of one target's image. It is there when, and only when, its small file is.

`entries/TARGET/VERSION.json` is written last, in one piece, and never over another; the files it names lie in
`images/TARGET/...`, in a folder of that writer's own.
"""

from __future__ import annotations

import hashlib
import json
from typing import Literal

from pydantic import AwareDatetime, Field, ValidationError, model_validator

from notebake.errors import RecordError
from notebake.record.semver import number
from notebake.validation import FileName, StrictModel, TargetName, Version, first_problem

SUMS = "SHA256SUMS"
PROVENANCE = "provenance.dsse.json"


class File(StrictModel):
    """A file of an entry."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=0)


def describe(data: bytes) -> File:
    """A small file's own."""
    return File(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))


class Entry(StrictModel):
    """What a list shows of a version, and where its files are.

    `folder` is relative to the catalog: one folder of its target's.
    """

    format: Literal[1] = 1
    target: TargetName
    version: Version
    content_id: str
    created: AwareDatetime
    made_from: Literal["bake", "fixture"]
    probed: bool
    folder: str = Field(pattern=r"^images/[a-z][a-z0-9.-]*/[a-z0-9][a-z0-9.-]*$")
    files: dict[FileName, File]

    @model_validator(mode="after")
    def _own_folder(self) -> Entry:
        if not self.folder.startswith(f"images/{self.target}/"):
            raise ValueError("folder: not one of this target's")
        return self

    @property
    def name(self) -> str:
        """TARGET@VERSION."""
        return f"{self.target}@{self.version}"

    @property
    def order(self) -> tuple[int, int, int]:
        """To sort by version."""
        return number(self.version)

    @property
    def disk(self) -> str:
        """The disk's file name."""
        return f"{self.target}.qcow2"

    @property
    def record(self) -> str:
        """The record's file name."""
        return f"{self.target}.json"

    def to_json(self) -> bytes:
        """As it is in the catalog."""
        return (json.dumps(self.model_dump(mode="json"), indent=1) + "\n").encode()


def path(target: str, version: str) -> str:
    """Where the entry's own file is."""
    return f"entries/{target}/{version}.json"


def parse(data: bytes, *, source: str) -> Entry:
    """An Entry from its file. Raises RecordError."""
    try:
        return Entry.model_validate_json(data)
    except ValidationError as error:
        raise RecordError(f"{source}: not an entry of a catalog: {first_problem(error)}") from None
