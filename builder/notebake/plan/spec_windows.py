"""The spec's [windows]: installation media and what only Windows has."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from notebake import urls
from notebake.validation import StrictModel

# Edition -> the end of the image's name in the ISO. Without "core" the image has the desktop.
EDITIONS = {
    "standard": "SERVERSTANDARD",
    "standard-core": "SERVERSTANDARDCORE",
    "datacenter": "SERVERDATACENTER",
    "datacenter-core": "SERVERDATACENTERCORE",
}


class Windows(StrictModel):
    """Installation media that `notebake bake` needs for a Windows target and may not download itself, and
    remote access for administrators.
    """

    iso: str | None = Field(None, description="Microsoft's installation or evaluation ISO: a file or a URL.")
    iso_sha256: str | None = Field(None, description="SHA-256 (hex) of the ISO.")
    virtio_win: str | None = Field(None, description="The virtio-win driver ISO, release 0.1.271 (a file).")
    edition: Literal["standard", "standard-core", "datacenter", "datacenter-core"] = Field(
        "standard", description="Edition to install; core: without a desktop. Clouds have datacenter only."
    )
    product_key: str | None = Field(
        None,
        description="Product key for retail or volume media, or Microsoft's public KMS client key. An "
        "evaluation ISO needs none, and ends after 180 days.",
    )
    ssh: bool | None = Field(
        None,
        description="OpenSSH server, on port 22. Without a value: where the release has one (2025). true: "
        "also elsewhere, from Windows Update.",
    )
    rdp: bool = Field(False, description="Remote Desktop, on port 3389.")

    @field_validator("iso")
    @classmethod
    def _iso(cls, value: str | None) -> str | None:
        if value is not None and "://" in value:
            urls.parse(value, query=True)  # Microsoft's own has one
        return value

    @field_validator("iso_sha256")
    @classmethod
    def _digest(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", value):
            raise ValueError("not a SHA-256 (64 hex digits)")
        return value.lower() if value else value

    @field_validator("product_key")
    @classmethod
    def _key(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"([A-Z0-9]{5}-){4}[A-Z0-9]{5}", value.upper()):
            # Not the value: a key is a secret.
            raise ValueError("not a product key (five groups of five letters and digits, with `-`)")
        return value.upper() if value else value
