"""A record from what a person names: a record's file, an image's, or TARGET@VERSION of a catalog."""

from __future__ import annotations

from pathlib import Path

from notebake.catalog.catalog import Catalog, is_reference
from notebake.record import record as records
from notebake.record.record import Record


def in_catalog(name: str) -> bool:
    """Whether `name` is looked for in the catalog: a file of that name goes first."""
    return is_reference(name) and not Path(name).exists()


def record(name: str, url: str) -> Record:
    """The record that `name` means, in the catalog at `url` or beside a file. Raises SpecError, RecordError."""
    if not in_catalog(name):
        return records.load(Path(name))
    catalog = Catalog(url)
    return catalog.record(catalog.find(name))


def title(name: str) -> str:
    """`name` as a difference calls it."""
    return name if in_catalog(name) else Path(name).name


def before(name: str, url: str) -> str | None:
    """TARGET@VERSION of the version right before the one that `name` means; None when there is none."""
    if not in_catalog(name):
        return None
    catalog = Catalog(url)
    found = catalog.find(name)
    older = [item for item in catalog.entries(found.target) if item.order < found.order]
    return older[-1].name if older else None
