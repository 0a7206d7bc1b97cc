"""Find the record or image that a user names: by a file, or by TARGET@VERSION of a catalog."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from notebake import paths
from notebake.catalog import verify
from notebake.catalog.catalog import Catalog, is_reference
from notebake.record import record as records
from notebake.record.record import Record


def in_catalog(name: str) -> bool:
    """Return whether `name` refers to the catalog; an existing file of that name takes precedence."""
    return is_reference(name) and not Path(name).exists()


def record(name: str, opened: Callable[[], Catalog]) -> Record:
    """Return the record for `name`, from the catalog or a file. Raises SpecError, RecordError.

    `opened` returns the catalog; it is called only for a name in it. With its trust, signatures are verified.
    """
    if not in_catalog(name):
        return records.load(Path(name))
    catalog = opened()
    return verify.record(catalog, catalog.find(name), catalog.verifier(catalog.head()))


def image(name: str, opened: Callable[[], Catalog]) -> Path:
    """Return the local path of the image `name`, with its record beside it.

    All of one in the catalog is verified; from a remote it is downloaded into the cache once. Raises
    SpecError, RecordError.
    """
    if not in_catalog(name):
        return Path(name)
    catalog = opened()
    entry = catalog.find(name)
    verify.record(catalog, entry, catalog.verifier(catalog.head()))
    return catalog.image(entry, paths.cache_folder() / "images")


def title(name: str) -> str:
    """Return the display name of `name` in a difference."""
    return name if in_catalog(name) else Path(name).name


def before(name: str, opened: Callable[[], Catalog]) -> str | None:
    """Return TARGET@VERSION of the version before the one that `name` refers to, or None."""
    if not in_catalog(name):
        return None
    catalog = opened()
    entry = catalog.find(name)
    older = [other for other in catalog.entries(entry.target) if other.order < entry.order]
    return older[-1].name if older else None
