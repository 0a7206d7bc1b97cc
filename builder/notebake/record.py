"""The record beside a baked image: what went in, what came out, how long each step took."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from notebake.errors import RecordError
from notebake.files import write_whole

FORMAT = 1


def sha256(path: Path) -> str:
    """SHA-256 (hex) of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def path_for(image: Path) -> Path:
    """Where the record of `image` is: the same name, ending in .json."""
    return image.with_suffix(".json")


def write(image: Path, record: dict[str, Any]) -> None:
    """Write the record of `image`. Raises RecordError."""
    try:
        write_whole(path_for(image), (json.dumps(record, indent=2) + "\n").encode())
    except Exception as error:
        raise RecordError(f"{path_for(image)}: the record cannot be written: {error}") from error


def read(image: Path) -> dict[str, Any] | None:
    """The record of `image`; None when there is none. Raises RecordError for a broken one."""
    path = path_for(image)
    try:
        record = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RecordError(f"{path}: not a record: {error}", "bake the image anew with --force") from None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise RecordError(f"{path}: not a record of this notebake", "bake the image anew with --force")
    return record


def is_current(image: Path, content_id: str) -> bool:
    """Whether `image` is the one its record speaks of and was made from `content_id`.

    Looks at size and modification time, not at every byte: an unchanged bake takes no second.
    """
    record = read(image)
    if record is None or record.get("content_id") != content_id or not image.is_file():
        return False
    status = image.stat()
    return bool(
        status.st_size == record["image"]["bytes"] and status.st_mtime_ns == record["image"]["mtime_ns"]
    )
