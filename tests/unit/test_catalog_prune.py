"""prune removes only what the catalog's entries name: nothing outside the catalog, nothing behind a link."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests import catalogs
from tests.conftest import Run

from notebake.catalog import channels, signing, simplestreams
from notebake.catalog import entry as entry_file
from notebake.catalog import prune as prunes
from notebake.catalog.catalog import Catalog
from notebake.errors import RecordError
from notebake.files import sha256

INDEX = "streams/v1/com.notebake:images.json"
OWN = "entries/debian-13/1.0.0.json"
# These stay in the test's folder, so a faulty prune does no harm.
NEAR = ("images/../../victim/data", "images/debian-13/../../../victim/data", "images/debian-13/..")
FOLDERS = (
    *NEAR,
    "images/..",
    "images/debian-13/.",
    "images/./x",
    "images/debian-13",
    "images/",
    "images",
    "images//x",
    "images/debian-13/x/",
    "images/debian-13/x/y",
    "images/debian-12/x",
    "entries/debian-13",
    "/victim/data",
    "//victim/data",
    "victim\\data",
    "images/debian-13/..\\..\\victim",
    "images/debian-13/%2e%2e",
    "images/debian-13/x\0y",
    "images/debian-13/x\n",
    "~/victim",
    ".",
    "..",
    "",
)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog of three versions, two of which are old enough to be removed."""
    place = tmp_path_factory.mktemp("three")
    signing.make_key(place / "key")
    for week in range(3):
        catalogs.put(
            Catalog(str(place / "catalog")), place / "baked", week, signing.private_key(place / "key")
        )
    return place / "catalog"


@pytest.fixture
def root(tmp_path: Path, three: Path) -> Path:
    """A copy of that catalog, beside a folder with other data."""
    shutil.copytree(three, tmp_path / "catalog")
    shutil.copy(three.parent / "key", tmp_path)
    (tmp_path / "victim/data").mkdir(parents=True)
    (tmp_path / "victim/data/thesis").write_text("precious")
    return tmp_path / "catalog"


def prune(catalog: Catalog, **more: Any) -> list[str]:
    settings = {"older_than": timedelta(days=1), "now": catalogs.START + 60 * catalogs.WEEK, "dry_run": False}
    settings["signer"] = signing.private_key(Path(catalog.storage.url).parent / "key")
    return [entry.name for entry in prunes.prune(catalog, **{**settings, **more})]


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    data = json.loads(path.read_bytes())
    change(data)
    path.write_text(json.dumps(data))


def row(index: Any, version: str) -> Any:
    """Return the entry of a version in the index."""
    versions = index["products"]["com.notebake:debian-13:amd64"]["versions"].values()
    return next(each["notebake"] for each in versions if each["notebake"]["version"] == version)


def refused(catalog: Catalog, root: Path, words: str) -> None:
    """Check that prune fails with `words`, also as a dry run, and removes nothing."""
    before = catalogs.snapshot(root.parent)
    for dry_run in (True, False):
        with pytest.raises(RecordError, match=words):
            prune(catalog, dry_run=dry_run)
    assert catalogs.snapshot(root.parent) == before


@pytest.mark.parametrize("folder", FOLDERS)
def test_an_entry_with_a_folder_outside_is_invalid(folder: str, root: Path, catalog: Catalog) -> None:
    """Only read here: if this test fails, nothing may be removed."""
    data = json.loads((root / OWN).read_bytes()) | {"folder": folder}
    with pytest.raises(RecordError, match="not an entry"):
        entry_file.parse(json.dumps(data).encode(), source="x")
    index = json.loads((root / INDEX).read_bytes())
    row(index, "1.0.0")["folder"] = folder
    with pytest.raises(RecordError, match="not a valid index"):
        simplestreams.entries(json.dumps(index).encode(), source="x")


@pytest.mark.parametrize("folder", NEAR)
def test_prune_refuses_an_entry_with_a_folder_outside(folder: str, root: Path, catalog: Catalog) -> None:
    edit(root / OWN, lambda data: data.update(folder=folder))
    refused(catalog, root, "1.0.0.json: not an entry")


@pytest.mark.parametrize("folder", NEAR)
def test_prune_ignores_an_index_with_a_folder_outside(folder: str, root: Path, catalog: Catalog) -> None:
    """prune reads the entries; reading the index is an error."""
    kept = catalog.entry("debian-13", "1.0.2").folder

    def change(data: Any) -> None:
        row(data, "1.0.0")["folder"] = folder

    edit(root / INDEX, change)
    with pytest.raises(RecordError, match=r"images\.json: not a valid index"):
        catalog.entries()
    assert prune(catalog) == ["debian-13@1.0.0", "debian-13@1.0.1"]
    assert (root.parent / "victim/data/thesis").read_text() == "precious"
    assert (root / kept).is_dir()
    assert [entry.folder for entry in catalog.entries()] == [kept]


def test_prune_ignores_dates_in_the_index(root: Path, catalog: Catalog) -> None:
    def change(data: Any) -> None:
        row(data, "1.0.1")["created"] = "2020-01-01T00:00:00Z"

    edit(root / INDEX, change)
    now = catalogs.START + 3 * catalogs.WEEK
    assert prune(catalog, now=now, older_than=2.5 * catalogs.WEEK) == ["debian-13@1.0.0"]


def test_prune_refuses_entries_that_share_a_folder(root: Path, catalog: Catalog) -> None:
    kept = catalog.entry("debian-13", "1.0.2").folder
    edit(root / OWN, lambda data: data.update(folder=kept))
    refused(catalog, root, "debian-13@1.0.0: its entry entries/debian-13/1.0.0.json was changed")
    head = catalog.head()
    assert head is not None
    signed = head.entries | {"debian-13@1.0.0": sha256(root / OWN)}
    catalogs.sign(catalog, signing.private_key(root.parent / "key"), entries=signed)
    refused(catalog, root, "debian-13@1.0.2 and debian-13@1.0.0: both use the folder")


@pytest.mark.parametrize("name", ["../x", "a/b", "..", ".", "", "a\\b", "/x", "a\0", "%2e%2e/x"])
def test_an_entry_with_a_path_as_a_file_name_is_invalid(name: str, root: Path, catalog: Catalog) -> None:
    edit(root / OWN, lambda data: data["files"].update({name: data["files"]["debian-13.json"]}))
    with pytest.raises(RecordError, match="not an entry"):
        catalog.entry("debian-13", "1.0.0")


@pytest.mark.parametrize("field", ["target", "version"])
@pytest.mark.parametrize("value", ["../../victim", "a/b", "..", "", "/x", "1.0.0/../x", "1.0.\u0660"])
def test_a_channel_change_with_a_path_as_a_name_is_invalid(field: str, value: str) -> None:
    move = {
        "target": "debian-13", "channel": "stable", "action": "promote", "version": "1.0.0",
        "disk": "0" * 64, "at": catalogs.START,
    }  # fmt: skip
    assert channels.Move.model_validate(move)
    with pytest.raises(ValueError, match=field):
        channels.Move.model_validate(move | {field: value})


def link(path: Path, to: Path) -> None:
    """Replace `path` by a link, and move its content to `to`."""
    if path.exists():
        shutil.move(path, to)
    path.symlink_to(to)


@pytest.mark.parametrize("where", ["images", "images/debian-13", "VERSION", "entries", "entries/debian-13"])
def test_prune_refuses_links(where: str, root: Path, catalog: Catalog) -> None:
    path = catalog.entry("debian-13", "1.0.0").folder if where == "VERSION" else where
    link(root / path, root.parent / "elsewhere")
    refused(catalog, root, f"{path}: is a symbolic link")


@pytest.mark.parametrize("where", ["images/evil", "images/debian-13/evil"])
def test_prune_refuses_links_among_leftover_files(where: str, root: Path, catalog: Catalog) -> None:
    link(root / where, root.parent / "victim")
    refused(catalog, root, f"{where}: is a symbolic link")


def test_prune_removes_a_link_in_a_version_but_not_its_target(root: Path, catalog: Catalog) -> None:
    folder = root / catalog.entry("debian-13", "1.0.0").folder
    (folder / "more").symlink_to(root.parent / "victim")
    assert prune(catalog) == ["debian-13@1.0.0", "debian-13@1.0.1"]
    assert not folder.exists()
    assert (root.parent / "victim/data/thesis").read_text() == "precious"


def test_a_catalog_may_itself_be_behind_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    assert prune(Catalog(str(tmp_path / "link"))) == ["debian-13@1.0.0", "debian-13@1.0.1"]


@pytest.mark.parametrize("path", ["", ".", "..", "/", "a/../..", "../victim", "/victim", "a//b", "a\0"])
@pytest.mark.parametrize("url", ["catalog", "memory://catalog"])
def test_a_path_outside_the_root_cannot_be_removed(path: str, url: str) -> None:
    """Only the check is called: if this test fails, nothing may be removed."""
    with pytest.raises(RecordError, match="not a path in the catalog"):
        Catalog(url).storage.check_removable(path)


@pytest.mark.parametrize("path", ["*", "images/*", "images/debian-1?", "images/[a-z]*/x"])
def test_a_pattern_cannot_be_removed(path: str, tmp_path: Path) -> None:
    """A remote would remove everything that matches; in a folder a pattern is an ordinary name."""
    with pytest.raises(RecordError, match="not a path in the catalog"):
        Catalog("memory://catalog").storage.check_removable(path)
    (tmp_path / "images").mkdir()
    Catalog(str(tmp_path)).storage.remove(path)
    assert (tmp_path / "images").is_dir()


def test_the_command_reports_it_with_exit_code_7(root: Path, run: Run) -> None:
    edit(root / OWN, lambda data: data.update(folder="images/../../victim/data"))
    code, out, err = run("catalog", "prune", "--catalog", "catalog", "--key", "key")
    assert (code, out) == (7, "") and "1.0.0.json" in err
    assert (root.parent / "victim/data/thesis").exists()
