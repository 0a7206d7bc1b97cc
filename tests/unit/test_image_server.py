"""The catalog as an image server for Incus and LXD: what their clients read of it."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

from tests import catalogs

from notebake.catalog import add, incus_image, promote, simplestreams
from notebake.catalog.catalog import Catalog
from notebake.catalog.signing import Signer
from notebake.files import sha256


def images(catalog: Catalog) -> dict[str, Any]:
    """Return the products that Incus reads, by our version; each has one version."""
    products = json.loads(catalog.storage.read(simplestreams.INCUS))["products"]
    return {product["version"]: product for product in products.values()}


def aliases(catalog: Catalog) -> dict[str, str]:
    """Return alias -> version."""
    return {name: version for version, each in images(catalog).items() for name in each["aliases"].split(",")}


def test_an_image_is_a_metadata_tar_and_the_disk(catalog: Catalog, tmp_path: Path, signer: Signer) -> None:
    catalogs.put(catalog, tmp_path / "baked", 1, signer)
    (entry,) = catalog.entries()
    image = images(catalog)["1.0.0"]
    ((serial, version),) = image["versions"].items()
    assert serial == f"{entry.created:%Y%m%d_%H%M%S}_0001.0000.0000"
    incus, lxd, disk = (version["items"][name] for name in ("incus.tar.xz", "lxd.tar.xz", "disk.qcow2"))
    assert (incus["ftype"], lxd["ftype"], disk["ftype"]) == ("incus.tar.xz", "lxd.tar.xz", "disk-kvm.img")
    assert incus["path"] == lxd["path"]
    metadata, qcow2 = (catalog.storage.read(item["path"]) for item in (incus, disk))
    assert incus["combined_disk-kvm-img_sha256"] == hashlib.sha256(metadata + qcow2).hexdigest()
    with tarfile.open(fileobj=io.BytesIO(metadata)) as tar:
        file = tar.extractfile("metadata.yaml")
        assert file is not None
        described = json.loads(file.read())
    assert described["architecture"] == "x86_64" and described["properties"]["version"] == "1.0.0"
    assert metadata == incus_image.metadata("debian-13", "1.0.0", entry.created)


def test_a_container_form_is_the_same_metadata_and_a_squashfs(
    catalog: Catalog, tmp_path: Path, signer: Signer
) -> None:
    squashfs = tmp_path / "root.squashfs"
    squashfs.write_bytes(b"squashfs" * 50)
    catalogs.put(catalog, tmp_path / "baked", 1, signer)
    again = tmp_path / "baked/1/debian-13.qcow2"
    now = catalogs.START + 2 * catalogs.WEEK
    for _ in range(2):  # the second time the container form is there
        add.add(catalog, again, signer=signer, now=now, probe=catalogs.probe(again), container=squashfs)
    plain, entry = catalog.entries()
    assert plain.container_fingerprint is None and entry.container in entry.files
    ((_, version),) = images(catalog)[entry.version]["versions"].items()
    root = version["items"]["root.squashfs"]
    metadata = catalog.storage.read(f"{entry.folder}/{entry.metadata}")
    combined = hashlib.sha256(metadata + squashfs.read_bytes()).hexdigest()
    assert root["ftype"] == "squashfs" and catalog.storage.read(root["path"]) == squashfs.read_bytes()
    for kind in ("incus.tar.xz", "lxd.tar.xz"):
        assert version["items"][kind]["combined_squashfs_sha256"] == combined
    assert catalogs.problems(catalog, signer.verifier) == []
    path = tmp_path / "catalog/entries/debian-13" / f"{entry.version}.json"
    path.write_text(path.read_text().replace(combined, "0" * 64))
    head = catalog.head()
    assert head is not None
    catalogs.sign(catalog, signer, entries={**head.entries, entry.name: sha256(path)})
    assert "another fingerprint for Incus" in catalogs.problems(catalog, signer.verifier)[0]


def test_the_keys_of_versions_are_ordered_as_text(catalog: Catalog, tmp_path: Path, signer: Signer) -> None:
    for week in range(12):
        catalogs.put(catalog, tmp_path / "baked", week, signer)
    (product,) = json.loads(catalog.storage.read(simplestreams.PRODUCTS))["products"].values()
    newest = product["versions"][max(product["versions"])]
    assert newest["notebake"]["version"] == catalog.entries()[-1].version == "1.0.11"


def test_aliases_follow_the_channels(catalog: Catalog, tmp_path: Path, signer: Signer) -> None:
    names = [catalogs.put(catalog, tmp_path / "baked", week, signer) for week in range(3)]
    versions = {f"debian-13/{version}": version for version in ("1.0.0", "1.0.1", "1.0.2")}
    candidate = versions | {"debian-13/candidate": "1.0.2"}
    assert aliases(catalog) == candidate | {"debian-13": "1.0.2"}
    for name, channel in ((names[0], "stable"), (names[1], "stable"), (names[0], "class")):
        promote.promote(
            catalog, catalog.find(name), channel, signer=signer, now=catalogs.START + 3 * catalogs.WEEK
        )
    assert aliases(catalog) == candidate | {
        "debian-13": "1.0.1", "debian-13/stable": "1.0.1", "debian-13/previous": "1.0.0",
        "debian-13/class": "1.0.0",
    }  # fmt: skip
    promote.rollback(catalog, "debian-13", "stable", signer=signer, now=catalogs.START + 4 * catalogs.WEEK)
    assert aliases(catalog)["debian-13/stable"] == aliases(catalog)["debian-13"] == "1.0.0"
    assert catalogs.problems(catalog, signer.verifier) == []


def test_a_changed_alias_fingerprint_or_metadata_is_found(
    catalog: Catalog, tmp_path: Path, signer: Signer
) -> None:
    catalogs.put(catalog, tmp_path / "baked", 1, signer)
    (entry,) = catalog.entries()
    root = tmp_path / "catalog"
    path = root / simplestreams.INCUS
    kept = path.read_text()
    path.write_text(kept.replace("debian-13/1.0.0", "debian-13/1.0.1"))
    assert catalogs.problems(catalog, signer.verifier) == [
        f"{simplestreams.INCUS}: does not match the entries"
    ]
    path.write_text(kept)
    path = root / "entries/debian-13/1.0.0.json"
    kept = path.read_text()
    path.write_text(kept.replace(entry.fingerprint, "0" * 64))
    head = catalog.head()
    assert head is not None and "was changed" in catalogs.problems(catalog, signer.verifier)[0]
    signed = catalogs.sign(catalog, signer, entries={entry.name: sha256(path)})
    assert "fingerprint" in catalogs.problems(catalog, signer.verifier)[0]
    catalogs.sign(catalog, signer, entries=head.entries, number=signed.number + 1)
    path.write_text(kept)
    path = root / entry.folder / entry.metadata
    path.write_bytes(path.read_bytes() + b"\0")
    assert entry.metadata in catalogs.problems(catalog, signer.verifier)[0]
