"""Files and folders are written whole or not at all: beside, then renamed."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from notebake.errors import CommandFailed, SpecError


@dataclass(frozen=True, kw_only=True)
class RenderedFile:
    """A file to write: `path` relative with forward slashes, its bytes, its mode."""

    path: str
    data: bytes
    mode: int = 0o644


def unwritable(path: Path, error: OSError) -> CommandFailed:
    """Return the error for a file or folder that cannot be written."""
    return CommandFailed(
        f"{path}: cannot be written: {error.strerror}", "check free disk space and file permissions"
    )


@contextmanager
def beside(path: Path, data: bytes, mode: int = 0o644) -> Iterator[Path]:
    """A hidden file in the folder of `path`, whole and on the disk; gone afterwards unless it was renamed.

    Makes the folder. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(mode)
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def write_whole(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write `data` to `path`; what was there stays until all is written. Raises CommandFailed."""
    try:
        with beside(path, data, mode) as made:
            made.replace(path)
    except OSError as error:
        raise unwritable(path, error) from None


def write_folder(folder: Path, files: Iterable[RenderedFile]) -> None:
    """Make `folder` hold just `files`: written beside, then swapped in. Raises CommandFailed.

    A folder that holds anything this function did not write (no `.notebake` mark) is refused.
    """
    mark = ".notebake"
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / mark).exists())):
        raise SpecError(
            f"{folder}: exists and was not written by notebake", "name another folder, or remove it"
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        try:
            beside.chmod(0o755)
            (beside / mark).touch()
            for item in files:
                target = beside / item.path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(item.data)
                target.chmod(item.mode)
            if folder.exists():
                shutil.rmtree(folder)
            beside.replace(folder)
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            raise
    except OSError as error:
        raise unwritable(folder, error) from None


def sha256(path: Path) -> str:
    """SHA-256 (hex) of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
