"""A Windows ISO as small as can be, and the wheels of the lock of windows-2025."""

from __future__ import annotations

import hashlib
import io
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pycdlib
from filelock import FileLock

from notebake import paths
from notebake.bake import wheelhouse
from notebake.plan import plan, spec, targets


def wim(images: list[str]) -> bytes:
    """Return a WIM that has only a header and its XML."""
    rows = "".join(f'<IMAGE INDEX="{n}"><NAME>{name}</NAME></IMAGE>' for n, name in enumerate(images, 1))
    text = f"<WIM>{rows}</WIM>".encode("utf-16")
    header = bytearray(208)
    header[:8] = b"MSWIM\0\0\0"
    header[72:96] = (
        len(text).to_bytes(7, "little")
        + b"\2"
        + (208).to_bytes(8, "little")
        + len(text).to_bytes(8, "little")
    )
    return bytes(header) + text


def windows_iso(path: Path, content: bytes, name: str = "install.wim") -> str:
    """Write a UDF volume like Microsoft's, with /sources/`name`; return its SHA-256."""
    volume = pycdlib.PyCdlib()
    volume.new(interchange_level=3, udf="2.60")
    volume.add_directory("/SOURCES", udf_path="/sources")
    volume.add_fp(io.BytesIO(content), len(content), "/SOURCES/INSTALL.WIM;1", udf_path=f"/sources/{name}")
    volume.write(str(path))
    volume.close()
    return hashlib.sha256(path.read_bytes()).hexdigest()


def wheels() -> Path:
    """Return the folder of wheels of windows-2025's lock, fetched once by hash and kept in the cache."""
    cache = paths.cache_folder() / "wheels"
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name, FileLock(cache / "windows-2025.lock"):
        made = plan.make(
            spec.parse('mirrors = "host"', source="x"),
            targets.get("windows-2025"),
            Path(name),
            now=datetime.now(UTC),
        )
        identity = hashlib.sha256(made.lock.text().encode()).hexdigest()[:12]
        folder = cache / f"windows-2025-{identity}"
        return wheelhouse.fetch(made.lock, made.target, made.sources.python, folder, Path(name) / "log")
