"""Faults that need a real process and a real file system: a killed writer, a full disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests import catalogs

from notebake import process
from notebake.catalog import add, prune, signing
from notebake.catalog.catalog import Catalog
from notebake.errors import CommandFailed

# Adds an image, and blocks at the given call of the storage's writing methods.
_WRITER = """
import sys
from pathlib import Path
from notebake.catalog import signing
from notebake.catalog.catalog import Catalog
from notebake.catalog import add
from tests import catalogs
url, key, image, stop = sys.argv[1:]
catalog, calls = Catalog(url), 0
def halting(real):
    def call(*args):
        global calls
        if calls == int(stop):
            print("here", flush=True)
            sys.stdin.read()
        calls += 1
        return real(*args)
    return call
for name in ("put", "write", "create"):
    setattr(catalog.storage, name, halting(getattr(catalog.storage, name)))
signer, now = signing.private_key(Path(key)), catalogs.START + catalogs.WEEK
add.add(catalog, Path(image), signer=signer, now=now, probe=None)
"""


@pytest.mark.parametrize("stop", [1, 6, 7, 8])
def test_a_killed_writer_leaves_no_incomplete_entry(stop: int, tmp_path: Path) -> None:
    """Killed after writing the disk, before the entry, between entry and head, between head and index."""
    catalog = Catalog(str(tmp_path / "catalog"))
    signing.make_key(tmp_path / "key")
    signer = signing.private_key(tmp_path / "key")
    add.add(catalog, catalogs.write(tmp_path / "baked", 1), signer=signer, now=catalogs.START, probe=None)
    second = catalogs.write(tmp_path / "baked", 2)
    child = subprocess.Popen(
        [sys.executable, "-c", _WRITER, catalog.storage.url, tmp_path / "key", second, str(stop)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert child.stdout is not None and child.stdout.readline() == b"here\n"
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    head = catalog.newest()
    assert head is not None and len(head.entries) == (2 if stop == 8 else 1) and len(catalog.entries()) == 1
    now = catalogs.START + catalogs.WEEK
    again = add.add(catalog, second, signer=signer, now=now, probe=None)
    # The number of an entry that nobody listed is not taken again.
    assert (again.entry.version, again.is_new) == ("1.0.2" if stop == 7 else "1.0.1", stop != 8)
    catalog.write_index()
    found = catalogs.problems(catalog, signer.verifier, now)
    assert [line.split(": ")[0] for line in found] == (["entries/debian-13/1.0.1.json"] if stop == 7 else [])
    later = now + 2 * timedelta(days=1)
    prune.prune(catalog, older_than=catalogs.WEEK, signer=signer, now=later, dry_run=False)
    assert catalogs.problems(catalog, signer.verifier, later) == []


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    path = tmp_path / "tiny"
    path.mkdir()
    process.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", path], timeout=60)
    yield path
    process.run(["umount", path], timeout=60)


def test_a_full_disk_leaves_the_catalog_as_it_was(tiny: Path, tmp_path: Path) -> None:
    catalog = Catalog(str(tiny))
    signing.make_key(tmp_path / "key")
    signer = signing.private_key(tmp_path / "key")
    add.add(catalog, catalogs.write(tmp_path / "baked", 1), signer=signer, now=catalogs.START, probe=None)

    def all_files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in tiny.rglob("*") if path.is_file()}

    before, free = all_files(), os.statvfs(tiny)
    filler = tmp_path / "tiny/filler"
    for left in (0, 8):  # blocks: none for the disk; enough for the disk, but not for its other files
        filler.write_bytes(b"x" * (free.f_bavail - left) * free.f_frsize)
        with pytest.raises(CommandFailed, match="No space left"):
            add.add(
                catalog,
                catalogs.write(tmp_path / f"more{left}", 2),
                signer=signer,
                now=catalogs.START,
                probe=None,
            )
        filler.unlink()
        assert all_files() == before
    assert catalogs.problems(catalog, signer.verifier, catalogs.START) == []
