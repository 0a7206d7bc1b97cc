"""What Incus and LXD know of an image. With it and the disk the catalog is their image server."""

from __future__ import annotations

import hashlib
import lzma
from datetime import datetime
from pathlib import Path

from notebake import incus_metadata

_CHUNK = 1 << 20


def properties(target: str, version: str) -> dict[str, str]:
    """Return the properties by which users find the image, of those that Incus' own images have."""
    system, _, release = target.rpartition("-")
    return {"os": system, "release": release, "version": version, "architecture": "amd64"}


def metadata(target: str, version: str, created: datetime) -> bytes:
    """Return the tar (.xz) of the image's metadata: same arguments, same bytes."""
    described = properties(target, version) | {"description": f"{target} {version}, by notebake"}
    return lzma.compress(incus_metadata.tar(described, int(created.timestamp())))


def fingerprint(metadata: bytes, root: Path) -> str:
    """Return its fingerprint in Incus and LXD: the SHA-256 of the metadata tar, then disk or squashfs."""
    digest = hashlib.sha256(metadata)
    with open(root, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
