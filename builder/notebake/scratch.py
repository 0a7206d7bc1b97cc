"""Temporary folders and files that no killed process leaves for ever.

Their names carry the mark of their owner. Who makes the next one in the same folder removes those whose
owner has ended.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from notebake import owner, paths, process

_NAME = re.compile(rf"\..*\.({owner.FORM})\.[a-z0-9_]+")


def prefix(name: str) -> str:
    """Return the beginning of a temporary file's name; `name` says what for."""
    return f".{name}.{owner.mark()}."


def sweep(parent: Path) -> None:
    """Remove the temporary folders and files in `parent` whose owner has ended."""
    for path in parent.iterdir() if parent.is_dir() else ():
        match = _NAME.fullmatch(path.name)
        if match is None or not owner.is_dead(match[1]):
            continue
        for mounted in _mounts(path):
            process.run(["umount", "--lazy", mounted], timeout=60, check=False)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()


def _mounts(path: Path) -> list[str]:
    """Return where something is mounted below `path`, the innermost first."""
    table = Path("/proc/self/mounts")
    rows = table.read_text("utf-8", "replace").splitlines() if table.exists() else []
    # Blanks and backslashes are written in octal (proc(5)).
    points = [re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), row.split()[1]) for row in rows]
    return [point for point in reversed(points) if Path(point).is_relative_to(path)]


@contextmanager
def folder(parent: Path, name: str) -> Iterator[Path]:
    """Yield a new folder in `parent`, which is made if needed, and remove it at the end. Raises OSError."""
    parent.mkdir(parents=True, exist_ok=True)
    sweep(parent)
    with tempfile.TemporaryDirectory(dir=parent, prefix=prefix(name)) as made:
        yield Path(made)


def clean_up(*parents: Path) -> None:
    """End what killed calls have left: programs, and temporary folders in `parents`, the caches and /tmp."""
    process.end_orphans()
    cache = paths.cache_folder()
    inner = [path for path in cache.iterdir() if path.is_dir()] if cache.is_dir() else []
    for parent in (*parents, short(), cache, *inner):
        sweep(parent)


def short() -> Path:
    """Return where a folder has a path short enough for a socket's in it (107 bytes)."""
    return Path(tempfile.gettempdir())
