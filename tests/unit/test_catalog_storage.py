"""Catalogs on remotes, remotes that fail, concurrent writers."""

from __future__ import annotations

import errno
import multiprocessing
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from tests import catalogs
from tests.loopback import Quiet, serving

from notebake.catalog import add, promote, signing
from notebake.catalog.catalog import Catalog
from notebake.catalog.signing import Signer
from notebake.catalog.storage import Storage
from notebake.errors import CommandFailed, RecordError
from notebake.files import sha256
from notebake.record import record


class Failing(MemoryFileSystem):
    """failing://catalog has the files of memory://catalog, and fails after `writes` writes."""

    protocol = "failing"
    cachable = False
    writes = 0

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.replace("failing://", "memory://")))

    def _count(self) -> None:
        type(self).writes -= 1
        if self.writes < 0:
            raise OSError(errno.ECONNRESET, "Connection reset by peer")

    def pipe_file(self, *args: Any, **named: Any) -> None:
        self._count()
        super().pipe_file(*args, **named)

    def put_file(self, *args: Any, **named: Any) -> None:
        self._count()
        super().put_file(*args, **named)


fsspec.register_implementation("failing", Failing, clobber=True)


@pytest.fixture
def remote() -> Iterator[str]:
    yield "memory://catalog"
    fsspec.filesystem("memory").store.clear()


def test_a_remote_is_read_and_written_like_a_folder(remote: str, tmp_path: Path, signer: Signer) -> None:
    catalog = Catalog(remote)
    for week in range(3):
        name = catalogs.put(catalog, tmp_path / "baked", week, signer)
        promote.promote(
            catalog, catalog.find(name), "stable", signer=signer, now=catalogs.START + week * catalogs.WEEK
        )
    assert catalog.pointers("debian-13")["previous"] == "1.0.1"
    assert catalogs.problems(catalog, signer.verifier) == []
    path = catalog.image(catalog.find("debian-13@stable"), tmp_path / "cache")
    assert sha256(path) == record.load(path).image.sha256


@pytest.mark.parametrize("writes", range(12))
def test_a_failing_remote_leaves_no_incomplete_entry(
    writes: int, remote: str, tmp_path: Path, signer: Signer
) -> None:
    catalog = Catalog(remote)
    catalogs.put(catalog, tmp_path / "baked", 1, signer)
    Failing.writes = writes
    with pytest.raises(CommandFailed, match="Connection reset") as caught:
        catalogs.put(Catalog("failing://catalog"), tmp_path / "baked", 2, signer)
    # Disk, record, SBOM, metadata, sums, signature, entry, head: the version exists only with the last one.
    exists = writes > 7
    assert caught.value.message.startswith("debian-13@1.0.1: added; but the index") == exists
    assert ("nothing has to be done again" in str(caught.value.hint)) == exists
    assert len(catalog.entries()) == (2 if writes > 8 else 1)
    catalog.write_index()
    assert len(catalog.entries()) == (2 if exists else 1)
    assert catalogs.problems(catalog, signer.verifier) == []


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    class Unlisted(Quiet, SimpleHTTPRequestHandler):
        def list_directory(self, path: Any) -> None:
            self.send_error(403)

    with serving(partial(Unlisted, directory=str(tmp_path / "catalog"))) as url:
        yield url


def test_a_catalog_is_readable_from_a_web_server(
    web: str, catalog: Catalog, tmp_path: Path, signer: Signer
) -> None:
    for week in range(2):
        name = catalogs.put(catalog, tmp_path / "baked", week, signer)
        promote.promote(
            catalog, catalog.find(name), "stable", signer=signer, now=catalogs.START + week * catalogs.WEEK
        )
    far = Catalog(web)
    assert far.entries() == catalog.entries() and far.pointers("debian-13") == catalog.pointers("debian-13")
    assert catalogs.problems(far, signer.verifier) == []
    path = far.image(far.find("debian-13@previous"), tmp_path / "cache")
    assert record.load(path).version == "1.0.0"
    with pytest.raises(CommandFailed):
        catalogs.put(far, tmp_path / "baked", 3, signer)
    assert len(far.entries()) == 2


def _promote(url: str, key: Path, name: str, barrier: Any, results: Any) -> None:
    catalog, signer = Catalog(url), signing.private_key(key)
    entry = catalog.find(name)
    real = Catalog.publish

    def together(*args: Any) -> None:
        barrier.wait()  # both processes have read the same head
        real(*args)

    Catalog.publish = together  # type: ignore[method-assign]
    try:
        promote.promote(catalog, entry, "stable", signer=signer, now=catalogs.START + 9 * catalogs.WEEK)
        results.put("promoted")
    except RecordError as error:
        results.put(error.message)


def test_one_of_two_concurrent_promotions_fails(tmp_path: Path, catalog: Catalog, signer: Signer) -> None:
    names = [catalogs.put(catalog, tmp_path / "baked", week, signer) for week in range(2)]
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(2, timeout=60), context.Queue()
    url, key = catalog.storage.url, tmp_path / "key"
    processes = [context.Process(target=_promote, args=(url, key, name, barrier, results)) for name in names]
    for process in processes:
        process.start()
    outcomes = sorted(results.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    assert outcomes[1] == "promoted" and "at the same time" in outcomes[0]
    head = catalogs.trusting(catalog, signer.verifier).head()
    assert head is not None and len(head.of("debian-13")) == 1


def _add(url: str, key: Path, image: Path, barrier: Any, results: Any) -> None:
    signer = signing.private_key(key)
    barrier.wait()
    results.put(add.add(Catalog(url), image, signer=signer, now=catalogs.START, probe=None).entry.name)


def test_concurrent_writers_get_different_versions(tmp_path: Path, catalog: Catalog, signer: Signer) -> None:
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(4, timeout=60), context.Queue()
    url, key, images = catalog.storage.url, tmp_path / "key", [catalogs.write(tmp_path, n) for n in range(4)]
    processes = [context.Process(target=_add, args=(url, key, image, barrier, results)) for image in images]
    for process in processes:
        process.start()
    names = sorted(results.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    assert names == ["debian-13@1.0.0", "debian-13@1.0.1", "debian-13@1.0.2", "debian-13@1.0.3"]
    assert catalogs.problems(catalog, signer.verifier, catalogs.START) == []


def test_an_unknown_kind_of_url_is_an_error() -> None:
    with pytest.raises(Exception, match="nonsense"):
        Storage("nonsense://bucket/catalog")
