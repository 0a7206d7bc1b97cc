"""The catalog as simplestreams, which clients of Ubuntu's images read (https://launchpad.net/simplestreams).

The two files follow from the entries: they are written anew after each change, and a list reads them so
that ten thousand entries cost one file.
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
# What clients know the files as; the others are of no use to them.
_FTYPES = {"qcow2": "disk-kvm.img"}


def _product(target: str) -> str:
    return f"com.notebake:{target}:amd64"


def files(entries: Iterable[Entry]) -> dict[str, bytes]:
    """Both files. Dates are the newest entry's: the same entries give the same bytes."""
    rows = sorted(entries, key=lambda item: (item.target, item.order))
    newest = max((item.created for item in rows), default=datetime.fromtimestamp(0, UTC))
    updated = format_datetime(newest.astimezone(UTC), usegmt=False)
    products: dict[str, Any] = {}
    for item in rows:
        system, _, release = item.target.rpartition("-")
        found = products.setdefault(
            _product(item.target),
            {"arch": "amd64", "os": system, "release": release, "version": release, "versions": {}},
        )
        found["versions"][item.version] = {
            "pubname": item.name,
            "notebake": item.model_dump(mode="json", exclude={"files"}),
            "items": {
                name: {
                    "ftype": _FTYPES.get(name.rsplit(".", 1)[-1], name),
                    "path": f"{item.folder}/{name}",
                    "sha256": file.sha256,
                    "size": file.bytes,
                }
                for name, file in sorted(item.files.items())
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
    whole = head | {"format": "products:1.0", "content_id": _CONTENT, "products": products}
    return {
        PRODUCTS: (json.dumps(whole, separators=(",", ":")) + "\n").encode(),
        INDEX: (json.dumps(index, indent=1) + "\n").encode(),
    }


def entries(data: bytes, *, source: str) -> list[Entry]:
    """The entries that PRODUCTS holds. Raises RecordError."""
    try:
        with _uncollected():
            rows = [
                row["notebake"]
                | {
                    "files": {
                        name: {"sha256": item["sha256"], "bytes": item["size"]}
                        for name, item in row["items"].items()
                    }
                }
                for product in json.loads(data)["products"].values()
                for row in product["versions"].values()
            ]
            return [Entry.model_validate(row) for row in rows]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordError(
            f"{source}: not a list of this notebake's images: {str(error).splitlines()[0]}",
            "`notebake catalog verify --mend-index` writes it anew from the entries",
        ) from None


@contextmanager
def _uncollected() -> Iterator[None]:
    """Python's collector waits: it would walk all that was read so far again and again, to find nothing."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
