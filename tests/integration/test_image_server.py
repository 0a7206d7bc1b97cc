"""A real Incus uses a catalog, served by a plain web server over HTTPS, as its image server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import catalogs
from tests.incus import Incus, daemon

from notebake.catalog import promote, signing
from notebake.catalog.catalog import Catalog
from notebake.catalog.signing import Signer
from notebake.errors import CommandFailed


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    signing.make_key(tmp_path / "key")
    return signing.private_key(tmp_path / "key")


@pytest.fixture
def catalog(tmp_path: Path, signer: Signer) -> Catalog:
    """A catalog with three versions; 1.0.1 is stable."""
    catalog = Catalog(str(tmp_path / "catalog"))
    names = [catalogs.put(catalog, tmp_path / "baked", week, signer) for week in range(3)]
    promote.promote(
        catalog, catalog.find(names[1]), "stable", signer=signer, now=catalogs.START + 3 * catalogs.WEEK
    )
    return catalog


@pytest.fixture
def url(catalog: Catalog, tmp_path: Path) -> Iterator[str]:
    """The catalog's address; the programs of this test trust its certificate."""
    with catalogs.served(tmp_path / "catalog", tmp_path) as address:
        yield address


@pytest.fixture
def incus(url: str) -> Iterator[Incus]:
    with daemon() as incus:
        yield incus


def test_incus_lists_and_copies_the_images_of_a_catalog(
    incus: Incus, url: str, catalog: Catalog, tmp_path: Path
) -> None:
    incus.client("remote", "add", "nb", url, "--protocol=simplestreams")
    listed = json.loads(incus.client("image", "list", "nb:", "--format", "json"))
    assert [image["properties"]["version"] for image in listed] == ["1.0.2", "1.0.1", "1.0.0"]
    assert {image["type"] for image in listed} == {"virtual-machine"}
    by_alias = {alias["name"]: image["fingerprint"] for image in listed for alias in image["aliases"]}
    stable = catalog.find("debian-13@stable")
    for name in ("debian-13", "debian-13/stable", "debian-13/1.0.1"):
        assert by_alias[name] == stable.fingerprint
    assert by_alias["debian-13/candidate"] == catalog.find("debian-13@candidate").fingerprint

    incus.client("image", "copy", "nb:debian-13/stable", "local:", "--vm", "--copy-aliases")
    (copied,) = incus.query("/images", "recursion=1")
    assert copied["fingerprint"] == stable.fingerprint and copied["type"] == "virtual-machine"
    assert copied["properties"]["version"] == "1.0.1"
    assert {alias["name"] for alias in copied["aliases"]} >= {"debian-13", "debian-13/stable"}
    incus.client("image", "export", stable.fingerprint, str(tmp_path / "out"), "--vm")
    disk = (tmp_path / "catalog" / stable.folder / stable.disk).read_bytes()
    assert disk in [file.read_bytes() for file in tmp_path.glob("out*")]


def test_incus_refuses_a_disk_that_was_changed(
    incus: Incus, url: str, catalog: Catalog, tmp_path: Path
) -> None:
    entry = catalog.find("debian-13@1.0.0")
    path = tmp_path / "catalog" / entry.folder / entry.disk
    path.write_bytes(path.read_bytes().replace(b"disk", b"risk"))
    incus.client("remote", "add", "nb", url, "--protocol=simplestreams")
    with pytest.raises(CommandFailed, match=r"(?i)hash|fingerprint|mismatch"):
        incus.client("image", "copy", "nb:debian-13/1.0.0", "local:", "--vm")
    assert incus.query("/images") in (None, [])
