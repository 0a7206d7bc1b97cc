"""Storage of a catalog's files: a local folder, or a remote through fsspec (s3, gcs, az, sftp, http)."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec

from notebake.errors import CommandFailed, MissingTool, NotebakeError, RecordError
from notebake.files import beside

_CHUNK = 1 << 20


class Storage:
    """Files below one root. Paths are relative to it, with forward slashes.

    Every method raises CommandFailed, naming the root, on any storage error.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/") or url
        try:
            self._remote, self._root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise MissingTool(
                f"{url}: {error}",
                "install support for remote catalogs: pip install 'notebake[s3]', [gcs], [az] or [sftp]",
            ) from None
        protocols = self._remote.protocol
        names = {protocols} if isinstance(protocols, str) else set(protocols)
        self.local = Path(self._root) if "file" in names else None
        # The same for each way to write the catalog's address; without a signature that gives access.
        self.identity = str(self.local.resolve()) if self.local is not None else self.url.split("?")[0]
        # A web server has no listing and is read-only.
        self.lists = not names & {"http", "https"}

    @contextmanager
    def _reaching(self, path: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, FileExistsError, NotebakeError):
            raise
        except NotImplementedError:
            raise CommandFailed(f"{self.url}: is read-only", "write to the storage behind it") from None
        except Exception as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise CommandFailed(
                f"{self.url}/{path}: {reason}",
                "the catalog was not changed; fix the problem and retry",
            ) from None

    def _at(self, path: str) -> str:
        return f"{self._root.rstrip('/')}/{path}".rstrip("/")

    def names(self, folder: str) -> list[str]:
        """Return the names in `folder`, sorted, without hidden ones.

        [] if it does not exist or is a file, and for a web server, which has no listing.
        """
        if not self.lists:
            return []
        with self._reaching(folder):
            if self.local is not None:
                try:
                    names = [path.name for path in (self.local / folder).iterdir()]
                except FileNotFoundError:
                    return []
                except NotADirectoryError:
                    if (self.local / folder).is_file():
                        return []
                    raise
            else:
                self._remote.invalidate_cache()
                try:
                    paths = self._remote.ls(self._at(folder), detail=False)
                except FileNotFoundError:
                    return []
                names = [path.rstrip("/").rsplit("/", 1)[-1] for path in paths]
            return sorted(name for name in names if not name.startswith("."))

    def read(self, path: str) -> bytes:
        """Return the bytes of `path`. Raises FileNotFoundError."""
        with self._reaching(path):
            if self.local is not None:
                return (self.local / path).read_bytes()
            data: bytes = self._remote.cat_file(self._at(path))
            return data

    def digest(self, path: str, *others: hashlib._Hash) -> tuple[str, int]:
        """Return the SHA-256 (hex) and the size in bytes of `path`; update `others` with its bytes, too.

        Raises FileNotFoundError.
        """
        with self._reaching(path), self._open(path) as file:
            digest, size = hashlib.sha256(), 0
            while chunk := file.read(_CHUNK):
                for each in (digest, *others):
                    each.update(chunk)
                size += len(chunk)
            return digest.hexdigest(), size

    def _open(self, path: str) -> Any:
        return open(self.local / path, "rb") if self.local is not None else self._remote.open(self._at(path))

    def fetch(self, path: str, destination: Path) -> None:
        """Copy `path` to the local file `destination`. Raises FileNotFoundError."""
        with self._reaching(path), self._open(path) as source, open(destination, "wb") as target:
            shutil.copyfileobj(source, target, _CHUNK)

    def create(self, path: str, data: bytes) -> None:
        """Create a file atomically. Raises FileExistsError if it exists.

        Remotes use one conditional request if they support it (s3, gcs, az).
        """
        with self._reaching(path):
            if self.local is None:
                self._remote.makedirs(self._remote._parent(self._at(path)), exist_ok=True)
                self._remote.pipe_file(self._at(path), data, mode="create")
                return
            with beside(self.local / path, data) as temporary:
                os.link(temporary, self.local / path)

    def write(self, path: str, data: bytes) -> None:
        """Write a file atomically; replace an existing one."""
        with self._reaching(path):
            if self.local is None:
                self._remote.makedirs(self._remote._parent(self._at(path)), exist_ok=True)
                self._remote.pipe_file(self._at(path), data)
                return
            with beside(self.local / path, data) as temporary:
                temporary.replace(self.local / path)

    def put(self, source: Path, path: str) -> None:
        """Copy the local file `source` to `path`, which must not exist."""
        with self._reaching(path):
            if self.local is None:
                self._remote.makedirs(self._remote._parent(self._at(path)), exist_ok=True)
                self._remote.put_file(str(source), self._at(path))
                return
            target = self.local / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(source, "rb") as file, open(target, "xb") as copy:
                shutil.copyfileobj(file, copy, _CHUNK)
                copy.flush()
                os.fsync(copy.fileno())

    def check_removable(self, path: str) -> None:
        """Raise RecordError unless `path` is below the root and no part of it is a symbolic link."""
        parts = path.split("/")
        # fsspec treats `*`, `?` and `[` in a remote path as a pattern and removes all matches.
        pattern = self.local is None and not set("*?[").isdisjoint(path)
        if not {"", ".", ".."}.isdisjoint(parts) or "\0" in path or pattern:
            raise RecordError(f"{self.url}: {path!r} is not a path in the catalog")
        if self.local is None:
            return
        for count in range(1, len(parts) + 1):
            parent = "/".join(parts[:count])
            if (self.local / parent).is_symlink():
                raise RecordError(
                    f"{self.url}: {parent}: is a symbolic link; nothing behind a link is removed",
                    "if you created it, use a bind mount instead; otherwise remove the link",
                )

    def changed(self, folder: str) -> dict[str, float]:
        """Return path -> modification time (POSIX) of everything in a local `folder`.

        Return {} if the folder does not exist or is remote. Raises RecordError for a symbolic link.
        """
        if self.local is None:
            return {}
        self.check_removable(folder)
        if not (self.local / folder).is_dir():
            return {}
        paths = [f"{folder}/{name}" for name in self.names(folder)]
        with self._reaching(folder):
            return {path: (self.local / path).lstat().st_mtime for path in paths}

    def remove(self, path: str) -> None:
        """Remove a file, or a folder with its contents, if it exists. Raises as `check_removable` does."""
        self.check_removable(path)
        with self._reaching(path):
            try:
                if self.local is None:
                    self._remote.rm(self._at(path), recursive=True)
                elif (self.local / path).is_dir():
                    shutil.rmtree(self.local / path)
                else:
                    (self.local / path).unlink()
            except FileNotFoundError:
                return
