"""The public key is enough to find every changed byte of a catalog."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests import catalogs

from notebake.catalog import promote, signing
from notebake.catalog.catalog import Catalog
from notebake.catalog.signing import Signer
from notebake.errors import RecordError, SpecError


@pytest.mark.parametrize("which", ["qcow2", "debian-13.json", "cdx.json", "SHA256SUMS", "provenance"])
def test_a_changed_byte_is_found(which: str, tmp_path: Path, catalog: Catalog, signer: Signer) -> None:
    entry = catalog.find(catalogs.put(catalog, tmp_path / "baked", 1, signer))
    name = next(name for name in entry.files if which in name)
    path = tmp_path / "catalog" / entry.folder / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    (problem,) = catalogs.problems(catalog, signer.verifier)
    assert name in problem
    with pytest.raises(RecordError, match=name):
        promote.promote(catalog, entry, "stable", signer=signer, now=catalogs.START + catalogs.WEEK)
    assert "stable" not in catalog.pointers("debian-13")


def test_a_changed_entry_index_or_channel_is_found(tmp_path: Path, catalog: Catalog, signer: Signer) -> None:
    names = [catalogs.put(catalog, tmp_path / "baked", week, signer) for week in range(3)]
    for name in names:
        promote.promote(
            catalog, catalog.find(name), "stable", signer=signer, now=catalogs.START + 3 * catalogs.WEEK
        )
    root, key = tmp_path / "catalog", signer.verifier
    assert catalogs.problems(catalog, key) == []
    for path, old, new in (
        ("entries/debian-13/1.0.1.json", b'"probed": true', b'"probed": false'),
        ("entries/debian-13/1.0.1.json", b'"fixture"', b'"bake"'),
        ("entries/debian-13/1.0.1.json", b'"created": "2026', b'"created": "2199'),
        ("streams/v1/com.notebake:images.json", b'"size":350', b'"size":351'),
        ("streams/v1/index.json", b"amd64", b"arm64"),
        ("head.dsse.json", b'"payload": "e', b'"payload": "f'),
    ):
        data = (root / path).read_bytes()
        assert old in data
        (root / path).write_bytes(data.replace(old, new, 1))
        assert catalogs.problems(catalog, key) != [], path
        (root / path).write_bytes(data)
    assert catalogs.problems(catalog, key) == []


def test_a_replaced_disk_with_a_matching_entry_is_found(
    tmp_path: Path, catalog: Catalog, signer: Signer
) -> None:
    """Someone who can write to the catalog can make its files consistent, but cannot sign them."""
    entry = catalog.find(catalogs.put(catalog, tmp_path / "baked", 1, signer))
    catalogs.replace(catalog, entry, entry.disk, b"evil" * 10)
    entry = catalog.find("debian-13@1.0.0")
    assert catalog.image(entry, tmp_path).read_bytes() == b"evil" * 10  # the catalog is consistent
    (problem,) = catalogs.problems(catalog, signer.verifier)
    assert problem.startswith("head.dsse.json: not signed by this key")
    # Nor is it enough to have the head signed by someone who did not look.
    head = catalog.head()
    assert head is not None
    catalogs.sign(catalog, signer, entries=head.entries)
    (problem,) = catalogs.problems(catalog, signer.verifier)
    assert problem == "debian-13@1.0.0: debian-13.qcow2 was changed after signing (SHA-256 mismatch)"


def test_a_wrong_or_missing_key_is_an_error(tmp_path: Path, catalog: Catalog, signer: Signer) -> None:
    catalogs.put(catalog, tmp_path / "baked", 1, signer)
    signing.make_key(tmp_path / "other")
    stranger = signing.private_key(tmp_path / "other")
    (problem,) = catalogs.problems(catalog, stranger.verifier)
    assert "head.dsse.json: not signed by this key" in problem
    with pytest.raises(RecordError, match="not signed by this key, or changed"):
        promote.promote(
            catalog,
            catalog.find("debian-13@1.0.0"),
            "stable",
            signer=stranger,
            now=catalogs.START + catalogs.WEEK,
        )
    with pytest.raises(SpecError, match="cannot be read"):
        signing.private_key(tmp_path / "none")
    with pytest.raises(SpecError, match="not an Ed25519 private key"):
        signing.private_key(tmp_path / "key.pub")
    with pytest.raises(SpecError, match="not an Ed25519 public key"):
        signing.public_key(tmp_path / "key")
    with pytest.raises(SpecError, match="already exists"):
        signing.make_key(tmp_path / "key")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_an_incomplete_upload_is_found(tmp_path: Path, catalog: Catalog, signer: Signer) -> None:
    entry = catalog.find(catalogs.put(catalog, tmp_path / "baked", 1, signer))
    disk = tmp_path / "catalog" / entry.folder / entry.disk
    disk.write_bytes(disk.read_bytes()[:10])
    with pytest.raises(RecordError, match=r"debian-13\.qcow2 was changed"):
        catalog.image(entry, tmp_path / "cache")
    disk.unlink()
    with pytest.raises(RecordError, match=r"debian-13\.qcow2 is missing"):
        catalog.image(entry, tmp_path / "cache")


def test_a_path_outside_the_catalog_is_refused(tmp_path: Path, catalog: Catalog, signer: Signer) -> None:
    catalogs.put(catalog, tmp_path / "baked", 1, signer)
    path = tmp_path / "catalog/entries/debian-13/1.0.0.json"
    data = json.loads(path.read_bytes())
    path.write_text(json.dumps(data | {"folder": "images/../../etc"}))
    with pytest.raises(RecordError, match="not an entry"):
        catalog.find("debian-13@1.0.0")
