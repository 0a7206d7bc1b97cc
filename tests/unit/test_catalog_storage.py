"""A catalog elsewhere than in a folder, remotes that go away, and writers at once."""

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
from tests import catalogs
from tests.loopback import Quiet, serving

from notebake.catalog import add, channels, promote, signing, verify
from notebake.catalog.catalog import Catalog
from notebake.catalog.signing import Signer
from notebake.catalog.storage import Storage
from notebake.errors import CommandFailed, RecordError
from notebake.files import sha256
from notebake.record import record


class _Failing:
    """The real remote, which goes away after some writes."""

    def __init__(self, remote: Any, writes: int) -> None:
        self._remote, self._left = remote, writes

    def __getattr__(self, name: str) -> Any:
        if name in ("pipe_file", "put_file"):
            self._left -= 1
            if self._left < 0:
                raise OSError(errno.ECONNRESET, "Connection reset by peer")
        return getattr(self._remote, name)


@pytest.fixture
def remote() -> Iterator[str]:
    yield "memory://catalog"
    fsspec.filesystem("memory").store.clear()


def test_a_remote_is_read_and_written_as_a_folder_is(remote: str, tmp_path: Path, signer: Signer) -> None:
    catalog = Catalog(remote)
    for week in range(3):
        name = catalogs.put(catalog, tmp_path / "baked", week, signer)
        promote.promote(
            catalog, catalog.find(name), "stable", signer=signer, now=catalogs.START + week * catalogs.WEEK
        )
    assert catalog.pointers("debian-13")["previous"] == "1.0.1"
    assert verify.problems(catalog, signer.verifier) == []
    path = catalog.image(catalog.find("debian-13@stable"), tmp_path / "cache")
    assert sha256(path) == record.load(path).image.sha256


@pytest.mark.parametrize("writes", range(7))
def test_a_remote_that_goes_away_leaves_the_catalog_as_it_was(
    writes: int, remote: str, tmp_path: Path, signer: Signer
) -> None:
    catalog = Catalog(remote)
    catalogs.put(catalog, tmp_path / "baked", 1, signer)
    catalog.storage._remote = _Failing(catalog.storage._remote, writes)
    with pytest.raises(CommandFailed, match="Connection reset"):
        catalogs.put(catalog, tmp_path / "baked", 2, signer)
    catalog = Catalog(remote)
    # disk, record, SBOM, sums, signature, entry: only with the last one is it there.
    assert len(catalog.entries()) == (2 if writes > 5 else 1)
    assert [line for line in verify.problems(catalog, signer.verifier) if "streams" not in line] == []


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    class Unlisted(Quiet, SimpleHTTPRequestHandler):
        def list_directory(self, path: Any) -> None:
            self.send_error(403)

    with serving(partial(Unlisted, directory=str(tmp_path / "catalog"))) as url:
        yield url


def test_a_web_server_is_enough_to_read(web: str, catalog: Catalog, tmp_path: Path, signer: Signer) -> None:
    for week in range(2):
        name = catalogs.put(catalog, tmp_path / "baked", week, signer)
        promote.promote(
            catalog, catalog.find(name), "stable", signer=signer, now=catalogs.START + week * catalogs.WEEK
        )
    far = Catalog(web)
    assert far.entries() == catalog.entries() and far.pointers("debian-13") == catalog.pointers("debian-13")
    assert verify.problems(far, signer.verifier) == []
    path = far.image(far.find("debian-13@previous"), tmp_path / "cache")
    assert record.load(path).version == "1.0.0"
    with pytest.raises(CommandFailed):
        catalogs.put(far, tmp_path / "baked", 3, signer)
    assert len(far.entries()) == 2


def _promote(url: str, key: Path, name: str, barrier: Any, said: Any) -> None:
    catalog, signer = Catalog(url), signing.private_key(key)
    entry = catalog.find(name)
    real = channels.append

    def together(*args: Any) -> None:
        barrier.wait()  # both have seen the same last move
        real(*args)

    channels.append = together
    try:
        promote.promote(catalog, entry, "stable", signer=signer, now=catalogs.START + 9 * catalogs.WEEK)
        said.put("moved")
    except RecordError as error:
        said.put(error.message)


def test_two_promotions_at_once(tmp_path: Path, catalog: Catalog, signer: Signer) -> None:
    names = [catalogs.put(catalog, tmp_path / "baked", week, signer) for week in range(2)]
    context = multiprocessing.get_context("fork")
    barrier, said = context.Barrier(2, timeout=60), context.Queue()
    people = [
        context.Process(target=_promote, args=(catalog.storage.url, tmp_path / "key", name, barrier, said))
        for name in names
    ]
    for person in people:
        person.start()
    answers = sorted(said.get(timeout=60) for _ in people)
    for person in people:
        person.join()
    assert answers[1] == "moved" and "at the same time" in answers[0]
    assert len(channels.moves(catalog.storage, "debian-13", signer.verifier)) == 1


def _add(url: str, key: Path, image: Path, barrier: Any, said: Any) -> None:
    signer = signing.private_key(key)
    barrier.wait()
    said.put(add.add(Catalog(url), image, signer=signer, now=catalogs.START, probe=None).entry.name)


def test_writers_at_once_each_get_a_version(tmp_path: Path, catalog: Catalog, signer: Signer) -> None:
    context = multiprocessing.get_context("fork")
    barrier, said = context.Barrier(4, timeout=60), context.Queue()
    people = [
        context.Process(
            target=_add,
            args=(catalog.storage.url, tmp_path / "key", catalogs.write(tmp_path, number), barrier, said),
        )
        for number in range(4)
    ]
    for person in people:
        person.start()
    answers = sorted(said.get(timeout=60) for _ in people)
    for person in people:
        person.join()
    assert answers == ["debian-13@1.0.0", "debian-13@1.0.1", "debian-13@1.0.2", "debian-13@1.0.3"]
    assert verify.problems(catalog, signer.verifier) == []


def test_an_unknown_kind_of_url_is_named() -> None:
    with pytest.raises(Exception, match="nonsense"):
        Storage("nonsense://bucket/catalog")
