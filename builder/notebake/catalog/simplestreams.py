"""The catalog's index in the simplestreams format of Ubuntu's images (https://launchpad.net/simplestreams).

The two files are derived from the entries and written after every change. With them, ten thousand entries
are listed by reading one file.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from notebake.catalog.entry import Entry
from notebake.errors import RecordError

INDEX = "streams/v1/index.json"
PRODUCTS = "streams/v1/com.notebake:images.json"
_CONTENT = "com.notebake:images"
# simplestreams' own ftypes; clients ignore the other files.
_FTYPES = {"qcow2": "disk-kvm.img"}


def _product(target: str) -> str:
    return f"com.notebake:{target}:amd64"


def files(entries: Iterable[Entry]) -> dict[str, bytes]:
    """Return both files: path -> bytes. Their date is the newest entry's: same entries, same bytes."""
    entries = sorted(entries, key=lambda entry: (entry.target, entry.order))
    newest = max((entry.created for entry in entries), default=datetime.fromtimestamp(0, UTC))
    updated = format_datetime(newest.astimezone(UTC), usegmt=False)
    products: dict[str, Any] = {}
    for entry in entries:
        system, _, release = entry.target.rpartition("-")
        product = products.setdefault(
            _product(entry.target),
            {"arch": "amd64", "os": system, "release": release, "version": release, "versions": {}},
        )
        product["versions"][entry.version] = {
            "pubname": entry.name,
            "notebake": entry.model_dump(mode="json", exclude={"files"}),
            "items": {
                name: {
                    "ftype": _FTYPES.get(name.rsplit(".", 1)[-1], name),
                    "path": f"{entry.folder}/{name}",
                    "sha256": file.sha256,
                    "size": file.bytes,
                }
                for name, file in sorted(entry.files.items())
            },
        }
    head = {"datatype": "image-downloads", "updated": updated}
    index = {
        "format": "index:1.0",
        "updated": updated,
        "index": {
            _CONTENT: head | {"format": "products:1.0", "path": PRODUCTS, "products": sorted(products)}
        },
    }
    stream = head | {"format": "products:1.0", "content_id": _CONTENT, "products": products}
    return {
        PRODUCTS: (json.dumps(stream, separators=(",", ":")) + "\n").encode(),
        INDEX: (json.dumps(index, indent=1) + "\n").encode(),
    }


def entries(data: bytes, *, source: str) -> list[Entry]:
    """Return the entries in the file PRODUCTS. Raises RecordError."""
    try:
        with _gc_disabled():
            entries = [
                version["notebake"]
                | {
                    "files": {
                        name: {"sha256": file["sha256"], "bytes": file["size"]}
                        for name, file in version["items"].items()
                    }
                }
                for product in json.loads(data)["products"].values()
                for version in product["versions"].values()
            ]
            return [Entry.model_validate(entry) for entry in entries]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordError(
            f"{source}: not a valid index: {str(error).splitlines()[0]}",
            "run `notebake catalog verify --rebuild-index` to write it again from the entries",
        ) from None


@contextmanager
def _gc_disabled() -> Iterator[None]:
    """Disable Python's garbage collector: it would scan the growing list of entries over and over."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
