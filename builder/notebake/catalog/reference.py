"""Find the record that a user names: by a record file, an image file, or TARGET@VERSION of a catalog."""

from __future__ import annotations

from pathlib import Path

from notebake.catalog.catalog import Catalog, is_reference
from notebake.record import record as records
from notebake.record.record import Record


def in_catalog(name: str) -> bool:
    """Return whether `name` refers to the catalog; an existing file of that name takes precedence."""
    return is_reference(name) and not Path(name).exists()


def record(name: str, url: str) -> Record:
    """Return the record for `name`, from the catalog at `url` or a file. Raises SpecError, RecordError."""
    if not in_catalog(name):
        return records.load(Path(name))
    catalog = Catalog(url)
    return catalog.record(catalog.find(name))


def title(name: str) -> str:
    """Return the display name of `name` in a difference."""
    return name if in_catalog(name) else Path(name).name


def before(name: str, url: str) -> str | None:
    """Return TARGET@VERSION of the version before the one that `name` refers to, or None."""
    if not in_catalog(name):
        return None
    catalog = Catalog(url)
    entry = catalog.find(name)
    older = [other for other in catalog.entries(entry.target) if other.order < entry.order]
    return older[-1].name if older else None
