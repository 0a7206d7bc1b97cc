"""Signatures on base images: made by the real gpg, verified by the real gpgv."""

from __future__ import annotations

import functools
import hashlib
import http.server
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.loopback import Quiet, serving

from notebake import paths, process
from notebake.bases import download
from notebake.errors import CommandFailed
from notebake.plan import targets
from notebake.plan.targets import Download, Signed

IMAGE = b"an image"
DIGEST = hashlib.sha256(IMAGE).hexdigest()


class Project:
    """A web site with an image, its digests and their signature, and the key that signed them."""

    def __init__(self, site: Path, home: Path, *gpg: str) -> None:
        self.site, self.home, self._gpg = site, home, gpg
        (site / "disk.img").write_bytes(IMAGE)
        self.gpg("--quick-generate-key", "project@example.test", "ed25519", "sign", "1d")
        listing = self.gpg("--with-colons", "--list-keys").decode()
        self.fingerprint = next(row.split(":")[9] for row in listing.splitlines() if row.startswith("fpr"))
        self.key = site.parent / f"{self.fingerprint}.gpg"
        self.gpg("--output", str(self.key), "--export")
        self.sign(f"{'0' * 64}  other.img\n{DIGEST} *disk.img\n")

    def gpg(self, *words: str) -> bytes:
        argv = ["gpg", "--quiet", "--batch", "--yes", "--passphrase", "", *self._gpg, *words]
        return process.run(argv, timeout=60, env={"GNUPGHOME": str(self.home)}).stdout

    def sign(self, sums: str) -> None:
        (self.site / "SHA256SUMS").write_text(sums)
        self.gpg("--detach-sign", "--output", f"{self.site}/SHA256SUMS.gpg", f"{self.site}/SHA256SUMS")

    def base(self, url: str, **changes: str | None) -> Download:
        # Without validation: a real target needs https and the name of a key in images/_keys.
        signed = Signed.model_construct(
            sums=f"{url}/SHA256SUMS", signature=f"{url}/SHA256SUMS.gpg", key=str(self.key),
            fingerprint=self.fingerprint,
        )  # fmt: skip
        given = {"kind": "download", "url": f"{url}/disk.img", "sha256": None, "signed": signed, **changes}
        return Download.model_construct(**given)


@pytest.fixture
def home() -> Iterator[Callable[[], Path]]:
    """Return a function that makes folders for gpg with short paths: its agent's socket allows 107 bytes."""
    folders = []

    def make() -> Path:
        folders.append(Path(tempfile.mkdtemp(prefix="nb-")))
        return folders[-1]

    yield make
    for path in folders:
        process.run(["gpgconf", "--kill", "all"], timeout=60, env={"GNUPGHOME": str(path)})
        shutil.rmtree(path)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    return folder


@pytest.fixture
def url(site: Path) -> Iterator[str]:
    class Site(Quiet, http.server.SimpleHTTPRequestHandler):
        pass

    with serving(functools.partial(Site, directory=str(site))) as where:
        yield where


def test_a_signed_image_is_downloaded(site: Path, url: str, home: Callable[[], Path], tmp_path: Path) -> None:
    project = Project(site, home())
    assert download.fetch(project.base(url), tmp_path / "cache").read_bytes() == IMAGE
    # If the list has one digest, the image may have another, dated name in it.
    project.sign(f"{DIGEST}  disk-20260101.img\n")
    assert download.fetch(project.base(url), tmp_path / "other").read_bytes() == IMAGE
    # Pinned and in the cache: nothing is downloaded.
    pinned = project.base("http://127.0.0.1:1", sha256=DIGEST)
    assert download.fetch(pinned, tmp_path / "cache").read_bytes() == IMAGE


def test_a_signature_of_an_expired_key_is_valid(
    site: Path, url: str, home: Callable[[], Path], tmp_path: Path
) -> None:
    project = Project(site, home(), "--faked-system-time", "20240101T000000")
    assert download.fetch(project.base(url), tmp_path / "cache").read_bytes() == IMAGE


def test_an_image_that_is_not_signed_is_refused(
    site: Path, url: str, home: Callable[[], Path], tmp_path: Path
) -> None:
    project = Project(site, home())
    sums = site / "SHA256SUMS"
    sums.write_text(sums.read_text() + "\n")
    with pytest.raises(CommandFailed, match="not signed by"):
        download.fetch(project.base(url), tmp_path / "cache")
    other = Project(site, home())
    with pytest.raises(CommandFailed, match="not signed by"):
        download.fetch(project.base(url), tmp_path / "cache")
    other.sign(f"{'1' * 64}  disk.img\n")
    with pytest.raises(CommandFailed, match="cannot be downloaded"):
        download.fetch(other.base(url), tmp_path / "cache")  # the signed digest is another one
    with pytest.raises(CommandFailed, match=r"target\.toml pins"):
        download.fetch(other.base(url, sha256=DIGEST), tmp_path / "cache")
    other.sign(f"{'1' * 64}  a.img\n{'1' * 64}  b.img\n")
    with pytest.raises(CommandFailed, match=r"does not contain disk\.img"):
        download.fetch(other.base(url), tmp_path / "cache")
    (site / "SHA256SUMS.gpg").unlink()
    with pytest.raises(CommandFailed, match="cannot be downloaded"):
        download.fetch(other.base(url), tmp_path / "cache")
    assert not list(tmp_path.glob("cache/*"))


def test_every_target_names_an_existing_key() -> None:
    signed = {target.base.signed for target in targets.all_targets() if isinstance(target.base, Download)}
    assert len(signed) >= 4
    for of_target in signed:
        key = paths.data_folder("images") / "_keys" / of_target.key
        keys = process.run(["gpg", "--show-keys", "--with-colons", key], timeout=60).stdout.decode()
        assert f":{of_target.fingerprint}:" in keys
