"""`notebake catalog check`: the storage and the signer, before hours of work."""

from __future__ import annotations

import json
from pathlib import Path

import fsspec
import pytest
from tests import catalogs
from tests.conftest import Run

from notebake.catalog import access
from notebake.catalog.catalog import Catalog
from notebake.catalog.signing import Signer
from notebake.catalog.storage import Storage
from notebake.errors import CommandFailed


def test_a_new_catalog_in_a_folder_can_be_used_and_is_not_made(run: Run, tmp_path: Path) -> None:
    run("catalog", "key", "k")
    code, out, _ = run("catalog", "check", "--key", "k")
    assert (code, out) == (0, "catalog: can be read and written, 0 versions, the signer matches\n")
    assert not (tmp_path / "catalog").exists()
    assert json.loads(run("catalog", "check", "--key", "k", "--json")[1]) == {
        "catalog": "catalog",
        "versions": 0,
    }


def test_the_key_must_be_the_one_that_signed_the_versions(run: Run, tmp_path: Path) -> None:
    run("catalog", "key", "k")
    run("catalog", "key", "other")
    image = str(catalogs.write(tmp_path / "baked", 1))
    assert run("catalog", "add", image, "--key", "k")[0] == 0
    before = sorted(path.name for path in (tmp_path / "catalog").iterdir())
    assert "1 versions" in run("catalog", "check", "--key", "k")[1]
    code, _, err = run("catalog", "check", "--key", "other")
    assert code == 7 and "not signed by this key" in err
    assert sorted(path.name for path in (tmp_path / "catalog").iterdir()) == before


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        ([], 2, "use either --key"),
        (["--key", "none"], 2, "cannot be read"),
        (["--key", "k", "--catalog", "nonsense://x"], 3, "nonsense"),
        (["--key", "k", "--catalog", "file"], 4, "Not a directory"),
        (["--key", "k", "--catalog", "/proc/none"], 4, "cannot be created"),
    ],
)
def test_what_is_missing_is_named(run: Run, tmp_path: Path, args: list[str], code: int, says: str) -> None:
    run("catalog", "key", "k")
    (tmp_path / "file").write_text("no folder")
    actual, _, err = run("catalog", "check", *args)
    assert (actual, says in err) == (code, True), err


def test_a_remote_catalog_is_left_as_it_was(signer: Signer) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/access/keep", b"")
    try:
        assert access.check(Catalog("memory://access"), signer, catalogs.START) == 0
        assert memory.find("/access") == ["/access/keep"]
    finally:
        memory.rm("/access", recursive=True)


def test_a_storage_that_denies_a_step_is_named(
    signer: Signer, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(self: Storage, path: str, *rest: object) -> None:
        raise CommandFailed(f"{self.url}/{path}: Access Denied")

    for step, says in (
        ("names", "Access Denied"),
        ("create", "Access Denied"),
        ("remove", "cannot be removed"),
    ):
        with monkeypatch.context() as patch, pytest.raises(CommandFailed, match=says):
            patch.setattr(Storage, step, denied)
            access.check(catalog, signer, catalogs.START)
    read = Storage.read
    monkeypatch.setattr(
        Storage, "read", lambda self, path: b"x" if path.startswith(".access") else read(self, path)
    )
    with pytest.raises(CommandFailed, match="other bytes"):
        access.check(Catalog(catalog.storage.url), signer, catalogs.START)
