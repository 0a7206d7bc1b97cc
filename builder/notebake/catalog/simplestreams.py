"""The catalog's index in the simplestreams format of Ubuntu's images (https://launchpad.net/simplestreams).

Its files are derived from the entries and the channels, and written after every change. With PRODUCTS, ten
thousand entries are listed by reading one file. INCUS is for the clients of Incus and LXD.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from notebake import documents
from notebake.catalog import incus_image
from notebake.catalog.entry import Entry
from notebake.errors import RecordError

INDEX = "streams/v1/index.json"
PRODUCTS = "streams/v1/com.notebake:images.json"
INCUS = "streams/v1/com.notebake:incus.json"
PATHS = (PRODUCTS, INCUS, INDEX)
_CONTENT = "com.notebake:images"
_INCUS_CONTENT = "com.notebake:incus"
# simplestreams' own ftypes; clients ignore the other files.
_FTYPES = {"qcow2": "disk-kvm.img", "squashfs": "squashfs"}


def _product(target: str) -> str:
    return f"com.notebake:{target}:amd64"


def _version(entry: Entry) -> str:
    """Return the key of a version: clients read a date in its beginning, and order keys as text."""
    number = ".".join(f"{part:04}" for part in entry.order)
    return f"{entry.created.astimezone(UTC):%Y%m%d_%H%M%S}_{number}"


def files(entries: Iterable[Entry], pointers: Mapping[str, Mapping[str, str]]) -> dict[str, bytes]:
    """Return the three files: path -> bytes. Their date is the newest entry's: same entries, same bytes.

    `pointers`: target -> channel -> version.
    """
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
        product["versions"][_version(entry)] = {
            "pubname": entry.name,
            "notebake": entry.model_dump(mode="json", exclude={"files"}),
            "items": {name: _item(entry, name) for name in sorted(entry.files)},
        }
    last = {entry.target: entry for entry in entries}
    images = {
        f"{_product(entry.target)}:{entry.version}": _image(
            entry, pointers.get(entry.target, {}), entry is last[entry.target]
        )
        for entry in entries
    }
    head = {"datatype": "image-downloads", "updated": updated}
    streams = ((_CONTENT, PRODUCTS, products), (_INCUS_CONTENT, INCUS, images))
    index = {
        "format": "index:1.0",
        "updated": updated,
        "index": {
            content: head | {"format": "products:1.0", "path": path, "products": sorted(names)}
            for content, path, names in streams
        },
    }
    # The index last: it names the others.
    return {
        path: _compact(head | {"format": "products:1.0", "content_id": content, "products": names})
        for content, path, names in streams
    } | {INDEX: (json.dumps(index, indent=1) + "\n").encode()}


def _compact(stream: dict[str, Any]) -> bytes:
    return (json.dumps(stream, separators=(",", ":")) + "\n").encode()


def _item(entry: Entry, name: str, **more: str) -> dict[str, Any]:
    file = entry.files[name]
    return {
        "ftype": _FTYPES.get(name.rsplit(".", 1)[-1], name),
        "path": f"{entry.folder}/{name}",
        "sha256": file.sha256,
        "size": file.bytes,
    } | more


def _image(entry: Entry, pointers: Mapping[str, str], is_newest: bool) -> dict[str, Any]:
    """Return a product of Incus and LXD with one version: aliases belong to products.

    `TARGET` alone is `stable`, or the newest version while nothing is stable.
    """
    aliases = [f"{entry.target}/{entry.version}"]
    aliases += [
        f"{entry.target}/{channel}" for channel, to in sorted(pointers.items()) if to == entry.version
    ]
    if pointers.get("stable") == entry.version or ("stable" not in pointers and is_newest):
        aliases.insert(0, entry.target)
    combined = {"combined_disk-kvm-img_sha256": entry.fingerprint}
    roots = {"disk.qcow2": _item(entry, entry.disk)}
    if entry.container_fingerprint is not None:
        combined["combined_squashfs_sha256"] = entry.container_fingerprint
        roots["root.squashfs"] = _item(entry, entry.container)
    metadata = {
        f"{kind}.tar.xz": _item(entry, entry.metadata, ftype=f"{kind}.tar.xz", **combined)
        for kind in ("incus", "lxd")
    }
    found = incus_image.properties(entry.target, entry.version)
    return {
        "aliases": ",".join(aliases),
        "arch": found.pop("architecture"),
        **found,
        "release_title": f"{found['release']} notebake {entry.version}",
        # The disk has a boot loader for BIOS only.
        "requirements": {"secureboot": "false"},
        "versions": {_version(entry): {"items": metadata | roots}},
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
                for product in documents.parse_json(data)["products"].values()
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
