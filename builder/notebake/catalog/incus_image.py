"""The metadata tar of an image for Incus and LXD. With it and the disk the catalog is their image server."""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import tarfile
from datetime import datetime
from pathlib import Path

_CHUNK = 1 << 20


def properties(target: str, version: str) -> dict[str, str]:
    """Return the properties by which users find the image, of those that Incus' own images have."""
    system, _, release = target.rpartition("-")
    return {"os": system, "release": release, "version": version, "architecture": "amd64"}


def metadata(target: str, version: str, created: datetime) -> bytes:
    """Return the tar (.xz) of the image's metadata: same arguments, same bytes."""
    described = {
        "architecture": "x86_64",
        "creation_date": int(created.timestamp()),
        "properties": properties(target, version) | {"description": f"{target} {version}, by notebake"},
    }
    text = json.dumps(described).encode()  # JSON is YAML
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        entry = tarfile.TarInfo("metadata.yaml")
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text))
    return lzma.compress(out.getvalue())


def fingerprint(metadata: bytes, disk: Path) -> str:
    """Return the image's fingerprint in Incus and LXD: the SHA-256 of the metadata tar and then the disk."""
    digest = hashlib.sha256(metadata)
    with open(disk, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
