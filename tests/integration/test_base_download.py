"""Downloads of base images over networks that break, from servers that fail and files that change."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.integration.image_server import ImageServer, Signer

from notebake.bases import download, transfer, web
from notebake.errors import CommandFailed
from notebake.plan.targets import Download, Signed

IMAGE = hashlib.shake_128(b"an image").digest(1_000_000)
OTHER = hashlib.shake_128(b"another").digest(900_000)

FETCH = """
import sys
from pathlib import Path
from notebake.bases import download
from notebake.plan.targets import Download
base = Download(kind="download", url=sys.argv[1], sha256=sys.argv[2])
print(download.fetch(base, Path(sys.argv[3]), renew="", context=None, say=print))
"""


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "PAUSES", (0.0,) * len(transfer.PAUSES))
    monkeypatch.setattr(web, "PAUSES", (0.0,) * len(web.PAUSES))


@pytest.fixture
def base(images: ImageServer) -> Download:
    (images.site / "disk.img").write_bytes(IMAGE)
    return Download(kind="download", url=f"{images.url}/disk.img", sha256=hashlib.sha256(IMAGE).hexdigest())


def fetch(base: Download, folder: Path, said: list[str] | None = None) -> Path:
    say = (said if said is not None else []).append
    return download.fetch(base, folder, renew="run `notebake lock --bases`", context=None, say=say)


def kept(folder: Path) -> list[str]:
    """Return the names in the cache that count as a base image."""
    return [path.name for path in folder.iterdir() if not path.name.startswith(".")]


def test_a_broken_download_goes_on(images: ImageServer, base: Download, tmp_path: Path) -> None:
    images.breaks = [300_000, 0, 200_000]
    assert fetch(base, tmp_path / "cache").read_bytes() == IMAGE
    ranges = [asked for path, asked in images.asked]
    assert ranges == [None, "bytes=300000-", "bytes=300000-", "bytes=500000-"]


def test_many_breaks_are_survived_as_long_as_something_comes(
    images: ImageServer, base: Download, tmp_path: Path
) -> None:
    images.breaks = [20_000] * 30
    assert fetch(base, tmp_path / "cache").read_bytes() == IMAGE


def test_a_later_run_goes_on(images: ImageServer, base: Download, tmp_path: Path) -> None:
    images.breaks = [300_000, *([0] * 10)]
    with pytest.raises(CommandFailed, match="cannot be downloaded") as caught:
        fetch(base, tmp_path / "cache")
    assert "goes on where it ended" in str(caught.value.hint)
    assert kept(tmp_path / "cache") == []
    images.breaks.clear()
    images.asked.clear()
    said: list[str] = []
    assert fetch(base, tmp_path / "cache", said).read_bytes() == IMAGE
    assert images.asked == [("/disk.img", "bytes=300000-")]
    assert said == ["going on after 0.3 MB"]


def test_a_server_without_ranges_starts_over(images: ImageServer, base: Download, tmp_path: Path) -> None:
    images.ranges, images.breaks = False, [300_000, 500_000]
    assert fetch(base, tmp_path / "cache").read_bytes() == IMAGE
    images.breaks = [300_000] * 10
    with pytest.raises(CommandFailed, match=r"after 0\.3 MB"):
        fetch(base, tmp_path / "other")


@pytest.mark.parametrize("left", [IMAGE, IMAGE + b"more", b"not the beginning", OTHER], ids=len)
def test_what_an_earlier_run_left_is_never_taken_for_whole(
    images: ImageServer, base: Download, tmp_path: Path, left: bytes
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / f".{str(base.sha256)[:12]}-disk.img.part").write_bytes(left)
    assert fetch(base, cache).read_bytes() == IMAGE
    assert len(kept(cache)) == 1 and not list(cache.glob("*.part")) and not list(cache.glob(".*.part"))


def test_a_busy_server_is_asked_again_and_a_missing_image_is_not(
    images: ImageServer, base: Download, tmp_path: Path
) -> None:
    images.codes = [503, 429, 502]
    assert fetch(base, tmp_path / "cache").read_bytes() == IMAGE
    for code in (404, 403, 400):
        images.codes = [code]
        images.asked.clear()
        with pytest.raises(CommandFailed, match=f"cannot be downloaded: {code}") as caught:
            fetch(base, tmp_path / "other")
        assert len(images.asked) == 1
    images.codes = [503] * 100
    with pytest.raises(CommandFailed, match="503"):
        fetch(base, tmp_path / "other")
    images.codes = [404]
    with pytest.raises(CommandFailed) as caught:
        fetch(base, tmp_path / "other")
    assert "lock --bases" in str(caught.value.hint)


def test_a_wrong_image_is_refused_and_a_damaged_one_replaced(
    images: ImageServer, base: Download, tmp_path: Path
) -> None:
    path = fetch(base, tmp_path / "cache")
    path.write_bytes(IMAGE[:-1])
    assert fetch(base, tmp_path / "cache").read_bytes() == IMAGE
    (images.site / "disk.img").write_bytes(OTHER)
    images.asked.clear()
    with pytest.raises(CommandFailed, match=r"SHA-256 is .*, expected"):
        fetch(base, tmp_path / "other")
    assert len(images.asked) == 1, "what came in one piece is not downloaded twice"
    assert kept(tmp_path / "other") == []


def test_an_undated_link_that_changes_meanwhile(
    images: ImageServer, base: Download, signer: Callable[..., Signer], tmp_path: Path
) -> None:
    project, sums = signer(), images.site / "disk.img.sha256"
    signed = Signed.model_construct(
        sums=f"{images.url}/{sums.name}", signature=f"{images.url}/{sums.name}.asc", key=str(project.key),
        fingerprint=project.fingerprint,
    )  # fmt: skip
    undated = base.model_construct(kind="download", url=base.url, sha256=None, signed=signed, date=None)

    def publish(data: bytes) -> None:
        project.sign(sums, f"{hashlib.sha256(data).hexdigest()}  disk-20261120.img\n", ".asc")

    def change(path: str) -> None:
        if path.endswith(".asc"):
            (images.site / "disk.img").write_bytes(OTHER)
        if path.endswith(".img"):
            publish(OTHER)

    publish(IMAGE)
    images.serving = change
    said: list[str] = []
    assert fetch(undated, tmp_path / "cache", said).read_bytes() == OTHER
    # The digest that changed first: one more download, which is the same image.
    assert images.asked.count(("/disk.img", None)) == 1
    publish(IMAGE)
    images.serving = lambda path: None
    with pytest.raises(CommandFailed, match="SHA-256 is"):
        fetch(undated, tmp_path / "other")
    assert kept(tmp_path / "other") == []


def test_a_killed_download_leaves_nothing_that_counts(
    images: ImageServer, base: Download, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    images.pause_after = 300_000
    argv = [sys.executable, "-c", FETCH, base.url, str(base.sha256), str(cache)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as child:
        assert images.paused.wait(60)
        child.send_signal(signal.SIGKILL)
    assert kept(cache) == []
    images.pause_after = None
    assert fetch(base, cache).read_bytes() == IMAGE


def test_two_at_once_download_once(images: ImageServer, base: Download, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: fetch(base, tmp_path / "cache"), range(2)))
    assert found[0] == found[1] and found[0].read_bytes() == IMAGE
    assert len(images.asked) == 1


def test_a_full_disk_is_named(images: ImageServer, base: Download, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / f".{str(base.sha256)[:12]}-disk.img.part").symlink_to("/dev/full")
    with pytest.raises(CommandFailed, match="cannot be written: No space left"):
        fetch(base, cache)
    assert len(images.asked) == 1
