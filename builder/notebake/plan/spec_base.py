"""The spec's tables `[base."TARGET"]`: another base image than the one that notebake knows."""

from __future__ import annotations

import re
from typing import Any

from pydantic import Field, field_validator, model_validator

from notebake import urls
from notebake.validation import StrictModel


class Base(StrictModel):
    """The base image of a target (a qcow2 disk): a newer one, a mirror's, your own. Not for Windows.

    It needs `url` or `file`, and a `url` needs `sha256` or `signed`. The quotes around the target may be
    left out.
    """

    url: str | None = Field(None, description="Where to download it (https, or http with a sha256).")
    file: str | None = Field(None, min_length=1, description="The image, as a file on this host.")
    sha256: str | None = Field(None, description="Its SHA-256 (hex).")
    signed: bool = Field(
        False,
        strict=True,
        description="Verify it with the key of the target's project: its checksum list and the signature are "
        "in the same folder under the names that the project uses.",
    )

    @field_validator("url")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        try:
            name = urls.parse(value, query=True).path.rpartition("/")[2] if value is not None else "-"
        except ValueError as error:
            if "@" not in str(value):
                raise ValueError(f"not the URL of an image; a file has the key `file`: {error}") from None
            name = "-"
        if not name:
            raise ValueError("not the URL of an image: it ends without a file's name")
        if value is not None and re.match(r"[a-z]+://[^/]*@|[^?#]*[?#]", value):
            raise ValueError(
                "must have no user, password or query, which records and templates would show: download "
                "the image yourself and name it with `file`"
            )
        return value

    @field_validator("sha256")
    @classmethod
    def _digest(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", value):
            raise ValueError("not a SHA-256 (64 hex digits)")
        return value.lower() if value else value

    @model_validator(mode="after")
    def _verifiable(self) -> Base:
        if (self.url is None) == (self.file is None):
            raise ValueError("needs either url or file")
        if self.url and not (self.sha256 or self.signed):
            raise ValueError("a url needs sha256 or `signed = true`: nothing else says what is downloaded")
        if self.url and self.url.startswith("http:") and not self.sha256:
            raise ValueError("a url with http needs sha256; with https `signed = true` is enough")
        return self


def joined(value: Any) -> Any:
    """Return the tables of `base` by target: TOML reads [base.ubuntu-24.04] as a table within a table."""
    if not isinstance(value, dict):
        return value
    found: dict[str, Any] = {}
    for name, table in value.items():
        inner = (
            {key: item for key, item in table.items() if isinstance(item, dict)}
            if isinstance(table, dict)
            else {}
        )
        found |= {f"{name}.{key}": item for key, item in inner.items()}
        if not inner:
            found[name] = table
        elif own := {key: item for key, item in table.items() if key not in inner}:
            found[name] = own
    return found
