"""Signatures on base images: made by the real gpg, verified by the real gpgv."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.image_server import ImageServer, Signer

from notebake import paths, process
from notebake.bases import download
from notebake.errors import CommandFailed
from notebake.plan import targets
from notebake.plan.targets import Download, Signed

IMAGE = b"an image"
DIGEST = hashlib.sha256(IMAGE).hexdigest()
SUMS = f"{'0' * 64}  other.img\n{DIGEST} *disk.img\n"

Make = Callable[..., Signer]


def published(server: ImageServer, signer: Signer, **changes: str | None) -> Download:
    """Return the image disk.img of the site, with the checksum list that `signer` signed."""
    (server.site / "disk.img").write_bytes(IMAGE)
    signer.sign(server.site / "SHA256SUMS", SUMS)
    sums = f"{server.url}/SHA256SUMS"
    # Without validation: a real target needs https and the name of a key in images/_keys.
    signed = Signed.model_construct(
        sums=sums, signature=f"{sums}.gpg", key=str(signer.key), fingerprint=signer.fingerprint
    )
    given = {"kind": "download", "url": f"{server.url}/disk.img", "sha256": None, "signed": signed, **changes}
    return Download.model_construct(**given)


def fetch(base: Download, folder: Path) -> Path:
    return download.fetch(base, folder, renew="lock it again", context=None, say=lambda line: None)


def test_a_signed_image_is_downloaded(images: ImageServer, signer: Make, tmp_path: Path) -> None:
    project = signer()
    base = published(images, project)
    assert fetch(base, tmp_path / "cache").read_bytes() == IMAGE
    # If the list has one digest, the image may have another, dated name in it.
    project.sign(images.site / "SHA256SUMS", f"{DIGEST}  disk-20260101.img\n")
    assert fetch(base, tmp_path / "other").read_bytes() == IMAGE
    # Pinned and in the cache: nothing is downloaded.
    images.asked.clear()
    assert fetch(published(images, project, sha256=DIGEST), tmp_path / "cache").read_bytes() == IMAGE
    assert images.asked == []


def test_a_signature_of_an_expired_key_is_valid(images: ImageServer, signer: Make, tmp_path: Path) -> None:
    project = signer("--faked-system-time", "20240101T000000")
    assert fetch(published(images, project), tmp_path / "cache").read_bytes() == IMAGE


def test_an_image_that_is_not_signed_is_refused(images: ImageServer, signer: Make, tmp_path: Path) -> None:
    project, sums, cache = signer(), images.site / "SHA256SUMS", tmp_path / "cache"
    base = published(images, project)
    sums.write_text(SUMS + "\n")
    with pytest.raises(CommandFailed, match="not signed by"):
        fetch(base, cache)
    signer().sign(sums, SUMS)
    with pytest.raises(CommandFailed, match="not signed by"):
        fetch(base, cache)
    project.sign(sums, f"{'1' * 64}  disk.img\n")
    with pytest.raises(CommandFailed, match=f"SHA-256 is {DIGEST}, expected {'1' * 64}"):
        fetch(base, cache)
    with pytest.raises(CommandFailed, match=f"signed SHA-256 {'1' * 64}, but {DIGEST} is pinned"):
        fetch(base.model_copy(update={"sha256": DIGEST}), cache)
    project.sign(sums, f"{'1' * 64}  a.img\n{'1' * 64}  b.img\n")
    with pytest.raises(CommandFailed, match=r"does not contain disk\.img") as caught:
        fetch(base, cache)
    assert caught.value.hint == "lock it again"
    (images.site / "SHA256SUMS.gpg").unlink()
    with pytest.raises(CommandFailed, match="cannot be downloaded: 404"):
        fetch(base, cache)
    assert not [path for path in cache.iterdir() if path.suffix != ".lock"]


def test_every_target_names_an_existing_key() -> None:
    signed = {target.base.signed for target in targets.all_targets() if isinstance(target.base, Download)}
    assert len(signed) >= 4
    for of_target in signed:
        assert of_target is not None
        key = paths.data_folder("images") / "_keys" / of_target.key
        keys = process.run(["gpg", "--show-keys", "--with-colons", key], timeout=60).stdout.decode()
        assert f":{of_target.fingerprint}:" in keys
