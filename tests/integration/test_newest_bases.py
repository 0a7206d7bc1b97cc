"""`notebake lock --bases`: the newest image of a project, from its web site, with its signature."""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.integration.image_server import ImageServer, Signer

from notebake import paths, process
from notebake.bases import newest, web
from notebake.errors import CommandFailed
from notebake.plan.targets import Download, Signed

NAME = "ubuntu-24.04-server-cloudimg-amd64.img"
TODAY = datetime.now(UTC).strftime("%Y%m%d")

Make = Callable[..., Signer]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "PAUSES", (0.0,) * len(web.PAUSES))


def digest(serial: str) -> str:
    return hashlib.sha256(serial.encode()).hexdigest()


def publish(server: ImageServer, signer: Signer, serial: str, name: str = NAME) -> None:
    """Publish an image as Ubuntu does."""
    folder = server.site / "releases/noble" / f"release-{serial}"
    signer.sign(folder / "SHA256SUMS", f"{'0' * 64} *other.img\n{digest(serial)} *{name}\n")


def dated(server: ImageServer, signer: Signer, serial: str = "20250430") -> Download:
    folder = f"{server.url}/releases/noble/release-{serial}"
    # Without validation: a real target has the name of a key in images/_keys.
    signed = Signed.model_construct(
        sums=f"{folder}/SHA256SUMS", signature=f"{folder}/SHA256SUMS.gpg", key=str(signer.key),
        fingerprint=signer.fingerprint,
    )  # fmt: skip
    return Download.model_construct(
        kind="download", url=f"{folder}/{NAME}", sha256=digest(serial), signed=signed, date=None
    )


def find(base: Download, current: Download | None = None, said: list[str] | None = None) -> Download:
    say = (said if said is not None else []).append
    return newest.find(base, current or base, context=None, say=say)


def test_the_newest_serial_counts(images: ImageServer, signer: Make) -> None:
    project = signer()
    base = dated(images, project)
    for serial in ("20250430", "20261118", "20261118.2", "20261118.10", "20250101"):
        publish(images, project, serial)
    (images.site / "releases/noble/release-20270101-beta").mkdir()
    (images.site / "releases/noble/daily-20270101").mkdir()
    found = find(base)
    assert found.url.endswith(f"/release-20261118.10/{NAME}")
    assert (found.sha256, found.date) == (digest("20261118.10"), "2026-11-18")
    assert found.signed is not None and found.signed.sums.endswith("/release-20261118.10/SHA256SUMS")
    # Being published: the folder exists, its list does not, or has no such image yet.
    (images.site / "releases/noble/release-20261121").mkdir()
    publish(images, project, "20261120", "other.img")
    said: list[str] = []
    assert find(base, said=said) == found
    assert [line.split()[0] for line in said] == ["20261121", "20261120"]


def test_no_older_image_and_no_bad_signature_is_taken(images: ImageServer, signer: Make) -> None:
    project = signer()
    base = dated(images, project)
    publish(images, project, "20250430")
    assert find(base).sha256 == base.sha256
    with pytest.raises(CommandFailed, match="lists no image that is as new as 20251001"):
        find(base, dated(images, project, "20251001"))
    publish(images, signer(), "20261118")
    with pytest.raises(CommandFailed, match="not signed by"):
        find(base)
    shutil.rmtree(images.site / "releases")
    with pytest.raises(CommandFailed, match="the list of images cannot be read: 404"):
        find(base)


@pytest.mark.parametrize("published", [True, False])
def test_an_undated_link_is_locked_by_its_dated_name(
    images: ImageServer, signer: Make, published: bool
) -> None:
    """As openSUSE does: the list beside the link names the dated image."""
    project, link, name = signer(), "Minimal-VM.x86_64-Cloud.qcow2", "Minimal-VM-Cloud-Snapshot20261119.qcow2"
    project.sign(images.site / f"{link}.sha256", f"{digest('x')}  {name}\n", ".asc")
    (images.site / link).write_bytes(b"x")
    if published:
        (images.site / name).write_bytes(b"x")
    sums = f"{images.url}/{link}.sha256"
    signed = Signed.model_construct(
        sums=sums, signature=f"{sums}.asc", key=str(project.key), fingerprint=project.fingerprint
    )
    base = Download.model_construct(
        kind="download", url=f"{images.url}/{link}", sha256=None, signed=signed, date=None
    )
    found = find(base)
    # The server says of both names that they were changed on 2026-11-20.
    assert (found.url, found.date) == (
        (f"{images.url}/{name}", "2026-11-19") if published else (base.url, "2026-11-20")
    )
    assert found.sha256 == digest("x")


@pytest.fixture
def notebake(
    images: ImageServer, signer: Make, tmp_path: Path
) -> tuple[Callable[..., tuple[int, str]], Signer]:
    """Return a function that runs a copy of the program whose ubuntu-24.04 is on the test's web site."""
    tree, project = tmp_path / "tree", signer()
    for name in ("images", "cloud-init"):
        shutil.copytree(paths.data_folder(name), tree / name)
    shutil.copytree(paths.data_folder("images").parent / "builder", tree / "builder")
    shutil.copy(project.key, tree / "images/_keys")
    for target in sorted((tree / "images").glob("*-*")):
        if target.name not in ("ubuntu-24.04", "debian-13", "windows-2025"):
            shutil.rmtree(target)
    path = tree / "images/ubuntu-24.04/target.toml"
    text = path.read_text().replace("https://cloud-images.ubuntu.com", images.url)
    text = text.replace("canonical-cloud-images.gpg", project.key.name)
    path.write_text(text.replace("D2EB44626FDDC30B513D5BB71A5D6C4C7DB87C81", project.fingerprint))
    work = tmp_path / "work"
    work.mkdir()
    (work / "notebake.toml").write_text("[image]\nupgrade = false\n")

    def run(*words: str) -> tuple[int, str]:
        program = f"import sys; sys.path.insert(0, {str(tree / 'builder')!r}); " + (
            "from notebake.cli.main import main; main(sys.argv[1:])"
        )
        env = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
        done = process.run(
            [sys.executable, "-c", program, *words], timeout=120, env=env, cwd=work, check=False
        )
        return done.returncode, done.stdout.decode()

    return run, project


def test_the_command_locks_the_base_and_plan_asks_for_it(
    images: ImageServer, notebake: tuple[Callable[..., tuple[int, str]], Signer], tmp_path: Path
) -> None:
    run, project = notebake
    lock = tmp_path / "work/locks/ubuntu-24.04.base.toml"
    code, out = run("plan", "ubuntu-24.04")
    assert code == 0 and "base image of ubuntu-24.04 is of 2025-04-30" in out
    assert "`notebake lock --bases ubuntu-24.04`" in out

    publish(images, project, TODAY)
    code, out = run("lock", "--bases")
    assert code == 0 and f"2025-04-30 -> {TODAY[:4]}-{TODAY[4:6]}-{TODAY[6:]}" in out
    assert f"  + sha256 {digest(TODAY)}" in out and "  - sha256 bc471ca4" in out
    written = lock.read_text()
    code, out = run("plan", "ubuntu-24.04")
    assert code == 0 and "warning" not in out and f"release-{TODAY}/{NAME}" in out
    assert "is still the newest" in run("lock", "--bases", "ubuntu-24.04")[1]
    assert lock.read_text() == written

    # A lock stays as it was when the next one fails.
    publish(images, project, "20991231")
    (images.site / "releases/noble/release-20991231/SHA256SUMS").write_text("x")
    code, out = run("lock", "--bases")
    assert code == 4 and "not signed by" in out and lock.read_text() == written
    shutil.rmtree(images.site / "releases/noble/release-20991231")
    code, out = run("lock", "--bases", "debian-13")
    assert code == 2 and "not downloaded" in out
    lock.write_text("url = 3")
    code, out = run("plan", "ubuntu-24.04")
    assert code == 2 and "not a lock of a base image" in out and "lock --bases ubuntu-24.04" in out
    lock.unlink()

    # The pins that notebake ships, with their comments.
    before = (tmp_path / "tree/images/ubuntu-24.04/target.toml").read_text()
    assert run("lock", "--bases", "--shipped")[0] == 0
    after = (tmp_path / "tree/images/ubuntu-24.04/target.toml").read_text()
    old = "bc471ca49de03b5129c65b70f9862b7f4b5e721622fd34ade78132f6f7999e2d"
    assert after == before.replace("20250430", TODAY).replace(old, digest(TODAY))
    assert not lock.exists()


def test_the_bases_that_the_spec_names_are_not_locked(
    images: ImageServer, notebake: tuple[Callable[..., tuple[int, str]], Signer], tmp_path: Path
) -> None:
    run, project = notebake
    publish(images, project, TODAY)
    (tmp_path / "work/notebake.toml").write_text(
        f'[base.ubuntu-24.04]\nurl = "http://mirror.example/20260101/a.img"\nsha256 = "{digest("x")}"\n'
    )
    code, out = run("lock", "--bases")
    assert code == 0 and out.startswith("nothing to lock")
    code, out = run("lock", "--bases", "ubuntu-24.04")
    assert code == 2 and "notebake.toml names its base image" in out
    code, out = run("render", "ubuntu-24.04")
    assert code == 0 and "is of 2026-01-01" in out and 'in [base."ubuntu-24.04"]' in out
