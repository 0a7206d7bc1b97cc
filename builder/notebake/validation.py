"""Validate files that others wrote: a strict model, and types for fields that become part of a path.

A path field cannot point outside its folder: ASCII only, no `/` or `\\`, no leading dot, no NUL, no `%`
that a server would decode.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from notebake import documents
from notebake.documents import DocumentError

TargetName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9.-]*$")]
Version = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,8})(\.(0|[1-9][0-9]{0,8})){2}$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._+-]*$")]
Size = Annotated[int, Field(ge=0, lt=1 << 63)]  # in bytes
# Every time zone has each of these times, so that none overflows in another.
Time = Annotated[
    AwareDatetime, Field(ge=datetime(1970, 1, 2, tzinfo=UTC), lt=datetime(9000, 1, 1, tzinfo=UTC))
]

_Model = TypeVar("_Model", bound=BaseModel)


class StrictModel(BaseModel):
    """A frozen model that rejects unknown keys, NaN and infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def parse(model: type[_Model], data: bytes) -> _Model:
    """Return the JSON document `data` as a `model`. Raises DocumentError with the first problem."""
    try:
        return model.model_validate(documents.parse_json(data))
    except ValidationError as error:
        raise DocumentError(first_problem(error)) from None


def first_problem(error: ValidationError) -> str:
    """Return the first problem as `path.to.key: message`, or only the message if it concerns no key."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else first["msg"]
