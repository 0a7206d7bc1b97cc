"""Write files and folders atomically: to a temporary name in the same folder, then rename."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from notebake.errors import CommandFailed, SpecError


@dataclass(frozen=True, kw_only=True)
class RenderedFile:
    """A file to write: relative path with forward slashes, bytes, mode."""

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
    """Yield a hidden file beside `path` with `data`, synced to disk; delete it unless it was renamed.

    Creates the folder. Raises OSError.
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
    """Write `data` to `path` atomically. Raises CommandFailed."""
    try:
        with beside(path, data, mode) as temporary:
            temporary.replace(path)
    except OSError as error:
        raise unwritable(path, error) from None


def rewrite(path: Path, data: bytes) -> None:
    """Replace the contents of an existing file atomically, also behind a link. Raises CommandFailed.

    Its owner, if this user may give files away, and its mode stay.
    """
    path = path.resolve()
    try:
        status = path.stat()
        with beside(path, data, status.st_mode & 0o7777) as temporary:
            if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
                with suppress(PermissionError):
                    os.chown(temporary, status.st_uid, status.st_gid)
            temporary.replace(path)
    except OSError as error:
        raise unwritable(path, error) from None


def write_folder(folder: Path, files: Iterable[RenderedFile]) -> None:
    """Replace the contents of `folder` by `files`. Raises CommandFailed.

    Raises SpecError for a folder with files but without the marker `.notebake`: notebake did not write it.
    """
    marker = ".notebake"
    if folder.exists() and (
        not folder.is_dir() or (any(folder.iterdir()) and not (folder / marker).exists())
    ):
        raise SpecError(
            f"{folder}: exists and was not written by notebake", "choose another folder, or delete this one"
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        try:
            temporary.chmod(0o755)
            (temporary / marker).touch()
            for file in files:
                path = temporary / file.path
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(file.data)
                path.chmod(file.mode)
            if folder.exists():
                shutil.rmtree(folder)
            temporary.replace(folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    except OSError as error:
        raise unwritable(folder, error) from None


def rename_once(folder: Path, destination: Path) -> None:
    """Rename a folder that is complete, unless another process made the same meanwhile. Raises OSError."""
    try:
        folder.rename(destination)
    except OSError:
        if not destination.is_dir():
            raise


def read(path: Path, *, limit: int) -> bytes:
    """Return a file's bytes. Raises OSError, also for more than `limit` bytes and a name with NUL."""
    if "\0" in str(path):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), str(path).replace("\0", "\\0"))
    with open(path, "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return data


def sha256(path: Path) -> str:
    """Return the SHA-256 (hex) of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
