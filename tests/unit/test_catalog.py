"""The catalog: whole or not there, signed to the byte, moved by one at a time, and a year of it."""

from __future__ import annotations

import errno
import json
import multiprocessing
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pytest
from tests import images

from notebake import record, signing, versions
from notebake.catalog import Catalog, channels, verification
from notebake.catalog.storage import Storage
from notebake.errors import CommandFailed, RecordError, SpecError
from notebake.signing import CryptoSigner

WEEK = timedelta(days=7)


@pytest.fixture
def signer(tmp_path: Path) -> CryptoSigner:
    signing.make_key(tmp_path / "key")
    return signing.private_key(tmp_path / "key")


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(str(tmp_path / "catalog"))


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def put(catalog: Catalog, folder: Path, number: int, signer: CryptoSigner, **more: Any) -> str:
    image = images.write(folder, number, more.get("known"))
    now = images.START + number * WEEK
    return catalog.add(image, signer=signer, now=now, probe=more.get("probe", images.probe())).entry.name


def test_a_year(tmp_path: Path, catalog: Catalog, signer: CryptoSigner) -> None:
    """Fifty-two weekly bakes. All are made from fixtures: from the record of one real bake, changed."""
    known, names = images.small(), []
    for week in range(52):
        if week:

            def change(data: dict[str, Any], week: int = week) -> None:
                data["python_packages"]["pandas"] = (
                    f"3.{week // 4}.{week % 4}"  # a minor one every fourth week
                )
                if week == 20:
                    del data["units"]["fstrim.timer"]
                if week == 40:
                    data["python"] = "3.14.0"

            known = images.changed(known, change)
        name = put(catalog, tmp_path / "baked", week, signer, known=known)
        names.append(name)
        if week != 30:
            catalog.promote(catalog.find(name), "stable", signer=signer, now=images.START + week * WEEK)
        if week == 33:
            found = catalog.rollback("debian-13", "stable", signer=signer, now=images.START + week * WEEK)
            assert found.version == names[32].split("@")[1]
    numbers = [name.split("@")[1] for name in names]
    assert numbers[:6] == ["1.0.0", "1.1.0", "1.1.1", "1.1.2", "1.2.0", "1.2.1"]
    assert (
        numbers[20] == "2.0.0" and numbers[40] == "3.0.0" and numbers == sorted(numbers, key=versions.number)
    )
    assert {item.made_from for item in catalog.entries()} == {"fixture"}
    assert catalog.pointers("debian-13") == {
        "candidate": numbers[51], "stable": numbers[51], "previous": numbers[50],
    }  # fmt: skip
    assert verification.problems(catalog, signer.public_key) == []
    year = images.START + 52 * WEEK
    gone = catalog.prune(older_than=timedelta(days=90), now=year, dry_run=True)
    assert len(catalog.entries()) == 52
    assert catalog.prune(older_than=timedelta(days=90), now=year, dry_run=False) == gone
    assert [item.name for item in gone] == names[:40]
    assert [item.name for item in catalog.entries()] == names[40:]
    assert verification.problems(catalog, signer.public_key) == []


def test_prune_keeps_what_channels_need(tmp_path: Path, catalog: Catalog, signer: CryptoSigner) -> None:
    names = [put(catalog, tmp_path / "baked", week, signer) for week in range(6)]
    for name in names[:3]:
        catalog.promote(catalog.find(name), "stable", signer=signer, now=images.START + WEEK)
    catalog.prune(older_than=timedelta(0), now=images.START + 60 * WEEK, dry_run=False)
    assert [item.name for item in catalog.entries()] == [names[1], names[2], names[5]]
    assert (
        catalog.rollback("debian-13", "stable", signer=signer, now=images.START + WEEK).version
        == names[1].split("@")[1]
    )
    assert catalog.pointers("debian-13")["stable"] == names[1].split("@")[1]


def test_the_same_image_is_added_once(tmp_path: Path, catalog: Catalog, signer: CryptoSigner) -> None:
    image = images.write(tmp_path / "baked", 1)
    first = catalog.add(image, signer=signer, now=images.START, probe=None)
    again = catalog.add(image, signer=signer, now=images.START, probe=None)
    assert first.fresh and not again.fresh and first.entry == again.entry
    probed = catalog.add(image, signer=signer, now=images.START, probe=images.probe())
    assert probed.entry.version == "1.0.1" and probed.entry.probed


@pytest.mark.parametrize("which", ["qcow2", "debian-13.json", "cdx.json", "SHA256SUMS", "provenance"])
def test_a_changed_byte_is_found(which: str, tmp_path: Path, catalog: Catalog, signer: CryptoSigner) -> None:
    entry = catalog.find(put(catalog, tmp_path / "baked", 1, signer))
    name = next(name for name in entry.files if which in name)
    path = tmp_path / "catalog" / entry.folder / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    (problem,) = verification.problems(catalog, signer.public_key)
    assert name in problem
    with pytest.raises(RecordError, match=name):
        catalog.promote(entry, "stable", signer=signer, now=images.START + WEEK)
    assert not (tmp_path / "catalog/channels").exists()


def test_a_changed_entry_index_or_channel_is_found(
    tmp_path: Path, catalog: Catalog, signer: CryptoSigner
) -> None:
    names = [put(catalog, tmp_path / "baked", week, signer) for week in range(3)]
    for name in names:
        catalog.promote(catalog.find(name), "stable", signer=signer, now=images.START + 3 * WEEK)
    root, key = tmp_path / "catalog", signer.public_key
    assert verification.problems(catalog, key) == []
    for path, old, new in (
        ("entries/debian-13/1.0.1.json", b'"probed": true', b'"probed": false'),
        ("entries/debian-13/1.0.1.json", b'"fixture"', b'"bake"'),
        ("streams/v1/com.notebake:images.json", b'"size":350', b'"size":351'),
        ("streams/v1/index.json", b"amd64", b"arm64"),
        ("channels/debian-13/000002.dsse.json", b'"payload": "e', b'"payload": "f'),
    ):
        data = (root / path).read_bytes()
        assert old in data
        (root / path).write_bytes(data.replace(old, new, 1))
        assert verification.problems(catalog, key) != [], path
        (root / path).write_bytes(data)
    last = root / "channels/debian-13/000001.dsse.json"
    last.unlink()
    assert any("does not follow" in line for line in verification.problems(catalog, key))


def test_an_exchanged_disk_with_an_entry_to_match_is_found(
    tmp_path: Path, catalog: Catalog, signer: CryptoSigner
) -> None:
    """Who can write to the catalog can make it agree with itself, but not with the signature."""
    entry = catalog.find(put(catalog, tmp_path / "baked", 1, signer))
    disk = tmp_path / "catalog" / entry.folder / entry.disk
    disk.write_bytes(b"evil" * 10)
    path = tmp_path / "catalog/entries/debian-13/1.0.0.json"
    data = json.loads(path.read_bytes())
    data["files"][entry.disk] = {"sha256": record.sha256(disk), "bytes": 40}
    path.write_text(json.dumps(data))
    catalog.forget_index()
    catalog.write_index()
    assert catalog.image(catalog.find("debian-13@1.0.0"), tmp_path)  # it agrees with itself
    (problem,) = verification.problems(catalog, signer.public_key)
    assert problem == "debian-13@1.0.0: debian-13.qcow2 is not what was signed (SHA-256 differs)"


def test_a_wrong_or_missing_key(tmp_path: Path, catalog: Catalog, signer: CryptoSigner) -> None:
    put(catalog, tmp_path / "baked", 1, signer)
    signing.make_key(tmp_path / "other")
    stranger = signing.private_key(tmp_path / "other")
    (problem,) = verification.problems(catalog, stranger.public_key)
    assert "not by this key" in problem
    with pytest.raises(RecordError, match="not by this key"):
        catalog.promote(catalog.find("debian-13@1.0.0"), "stable", signer=stranger, now=images.START + WEEK)
    with pytest.raises(SpecError, match="cannot be read"):
        signing.private_key(tmp_path / "none")
    with pytest.raises(SpecError, match="not an Ed25519 private key"):
        signing.private_key(tmp_path / "key.pub")
    with pytest.raises(SpecError, match="not an Ed25519 public key"):
        signing.public_key(tmp_path / "key")
    with pytest.raises(SpecError, match="is there already"):
        signing.make_key(tmp_path / "key")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_a_promotion_needs_a_green_probe(tmp_path: Path, catalog: Catalog, signer: CryptoSigner) -> None:
    red = catalog.find(put(catalog, tmp_path / "baked", 1, signer, probe=images.probe(green=False)))
    never = catalog.find(put(catalog, tmp_path / "baked", 2, signer, probe=None))
    with pytest.raises(RecordError, match="its probe failed: plot"):
        catalog.promote(red, "stable", signer=signer, now=images.START + 3 * WEEK)
    with pytest.raises(RecordError, match="never probed"):
        catalog.promote(never, "stable", signer=signer, now=images.START + 3 * WEEK)
    with pytest.raises(SpecError, match="no such channel"):
        catalog.find("debian-13@stable")
    with pytest.raises(SpecError, match="follows by itself"):
        catalog.promote(red, "candidate", signer=signer, now=images.START + 3 * WEEK)
    with pytest.raises(SpecError, match="nothing to go back to"):
        catalog.rollback("debian-13", "stable", signer=signer, now=images.START + 3 * WEEK)


def test_a_clock_that_runs_backwards(tmp_path: Path, catalog: Catalog, signer: CryptoSigner) -> None:
    name = put(catalog, tmp_path / "baked", 5, signer)
    before = snapshot(tmp_path / "catalog")
    with pytest.raises(RecordError, match="clock"):
        put(catalog, tmp_path / "baked", 4, signer)
    with pytest.raises(RecordError, match="clock"):
        catalog.prune(older_than=WEEK, now=images.START, dry_run=False)
    assert snapshot(tmp_path / "catalog") == before
    catalog.promote(catalog.find(name), "stable", signer=signer, now=images.START + 6 * WEEK)
    put(catalog, tmp_path / "baked", 6, signer)
    with pytest.raises(RecordError, match="clock"):
        catalog.promote(
            catalog.find("debian-13@candidate"), "stable", signer=signer, now=images.START + 5 * WEEK
        )


def test_an_image_that_is_not_its_records(tmp_path: Path, catalog: Catalog, signer: CryptoSigner) -> None:
    image = images.write(tmp_path / "baked", 1)
    image.write_bytes(b"other")
    with pytest.raises(RecordError, match="SHA-256 differs"):
        catalog.add(image, signer=signer, now=images.START, probe=None)
    image.unlink()
    with pytest.raises(SpecError, match="no such image"):
        catalog.add(image, signer=signer, now=images.START, probe=None)
    record.path_for(image).write_text("{}")
    with pytest.raises(RecordError, match="not a record"):
        catalog.add(image, signer=signer, now=images.START, probe=None)
    assert catalog.entries() == []


def test_what_a_killed_writer_left_is_not_there(
    tmp_path: Path, catalog: Catalog, signer: CryptoSigner
) -> None:
    put(catalog, tmp_path / "baked", 1, signer)
    half = tmp_path / "catalog/images/debian-13/abc-def/debian-13.qcow2"
    half.parent.mkdir()
    half.write_bytes(b"half a di")
    (tmp_path / "catalog/entries/debian-13/.tmp1").write_bytes(b'{"form')
    assert [item.name for item in catalog.entries()] == ["debian-13@1.0.0"]
    assert verification.problems(catalog, signer.public_key) == []
    now = datetime.now(UTC)
    catalog.prune(older_than=timedelta(days=36500), now=now, dry_run=False)
    assert half.exists()  # somebody may still be at it
    catalog.prune(older_than=timedelta(days=36500), now=now + timedelta(days=2), dry_run=False)
    assert not half.parent.exists()
    assert verification.problems(catalog, signer.public_key) == []


def test_a_half_uploaded_entry_is_named(tmp_path: Path, catalog: Catalog, signer: CryptoSigner) -> None:
    entry = catalog.find(put(catalog, tmp_path / "baked", 1, signer))
    disk = tmp_path / "catalog" / entry.folder / entry.disk
    disk.write_bytes(disk.read_bytes()[:10])
    with pytest.raises(RecordError, match=r"debian-13\.qcow2 is not what was put in"):
        catalog.image(entry, tmp_path / "cache")
    disk.unlink()
    with pytest.raises(RecordError, match=r"debian-13\.qcow2 is not there"):
        catalog.image(entry, tmp_path / "cache")


def test_an_index_that_lags_is_no_matter_and_can_be_mended(
    tmp_path: Path, catalog: Catalog, signer: CryptoSigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(catalog, tmp_path / "baked", 1, signer)
    with monkeypatch.context() as patch:
        patch.setattr(Catalog, "write_index", lambda self: None)  # killed right before
        put(catalog, tmp_path / "baked", 2, signer)
    assert len(catalog.entries()) == 2
    assert verification.problems(catalog, signer.public_key) != []
    catalog.forget_index()
    catalog.write_index()
    assert verification.problems(catalog, signer.public_key) == []


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


def test_a_remote_is_read_and_written_as_a_folder_is(
    remote: str, tmp_path: Path, signer: CryptoSigner
) -> None:
    catalog = Catalog(remote)
    for week in range(3):
        name = put(catalog, tmp_path / "baked", week, signer)
        catalog.promote(catalog.find(name), "stable", signer=signer, now=images.START + week * WEEK)
    assert catalog.pointers("debian-13")["previous"] == "1.0.1"
    assert verification.problems(catalog, signer.public_key) == []
    path = catalog.image(catalog.find("debian-13@stable"), tmp_path / "cache")
    assert record.sha256(path) == record.load(path).image.sha256


@pytest.mark.parametrize("writes", range(7))
def test_a_remote_that_goes_away_leaves_the_catalog_as_it_was(
    writes: int, remote: str, tmp_path: Path, signer: CryptoSigner
) -> None:
    catalog = Catalog(remote)
    put(catalog, tmp_path / "baked", 1, signer)
    catalog.storage._remote = _Failing(catalog.storage._remote, writes)
    with pytest.raises(CommandFailed, match="Connection reset"):
        put(catalog, tmp_path / "baked", 2, signer)
    catalog = Catalog(remote)
    # disk, record, SBOM, sums, signature, entry: only with the last one is it there.
    assert len(catalog.entries()) == (2 if writes > 5 else 1)
    assert [line for line in verification.problems(catalog, signer.public_key) if "streams" not in line] == []


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def list_directory(self, path: Any) -> None:
            self.send_error(403)

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "catalog")))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_web_server_is_enough_to_read(
    web: str, catalog: Catalog, tmp_path: Path, signer: CryptoSigner
) -> None:
    for week in range(2):
        name = put(catalog, tmp_path / "baked", week, signer)
        catalog.promote(catalog.find(name), "stable", signer=signer, now=images.START + week * WEEK)
    far = Catalog(web)
    assert far.entries() == catalog.entries() and far.pointers("debian-13") == catalog.pointers("debian-13")
    assert verification.problems(far, signer.public_key) == []
    path = far.image(far.find("debian-13@previous"), tmp_path / "cache")
    assert record.load(path).version == "1.0.0"
    with pytest.raises(CommandFailed):
        put(far, tmp_path / "baked", 3, signer)
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
        catalog.promote(entry, "stable", signer=signer, now=images.START + 9 * WEEK)
        said.put("moved")
    except RecordError as error:
        said.put(error.message)


def test_two_promotions_at_once(tmp_path: Path, catalog: Catalog, signer: CryptoSigner) -> None:
    names = [put(catalog, tmp_path / "baked", week, signer) for week in range(2)]
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
    assert len(channels.moves(catalog.storage, "debian-13", signer.public_key)) == 1


def _add(url: str, key: Path, image: Path, barrier: Any, said: Any) -> None:
    signer = signing.private_key(key)
    barrier.wait()
    said.put(Catalog(url).add(image, signer=signer, now=images.START, probe=None).entry.name)


def test_writers_at_once_each_get_a_version(tmp_path: Path, catalog: Catalog, signer: CryptoSigner) -> None:
    context = multiprocessing.get_context("fork")
    barrier, said = context.Barrier(4, timeout=60), context.Queue()
    people = [
        context.Process(
            target=_add,
            args=(catalog.storage.url, tmp_path / "key", images.write(tmp_path, number), barrier, said),
        )
        for number in range(4)
    ]
    for person in people:
        person.start()
    answers = sorted(said.get(timeout=60) for _ in people)
    for person in people:
        person.join()
    assert answers == ["debian-13@1.0.0", "debian-13@1.0.1", "debian-13@1.0.2", "debian-13@1.0.3"]
    assert verification.problems(catalog, signer.public_key) == []


def test_a_path_out_of_the_catalog_is_refused(tmp_path: Path, catalog: Catalog, signer: CryptoSigner) -> None:
    put(catalog, tmp_path / "baked", 1, signer)
    path = tmp_path / "catalog/entries/debian-13/1.0.0.json"
    data = json.loads(path.read_bytes())
    path.write_text(json.dumps(data | {"folder": "images/../../etc"}))
    with pytest.raises(RecordError, match="not an entry"):
        catalog.find("debian-13@1.0.0")


def test_an_unknown_kind_of_url_is_named() -> None:
    with pytest.raises(Exception, match="nonsense"):
        Storage("nonsense://bucket/catalog")
