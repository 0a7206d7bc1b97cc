"""Base images that the spec or a lock names, their content ids, dates and ages."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Run

from notebake.bake import inputs
from notebake.bases import base, mmdebstrap, newest
from notebake.errors import CommandFailed, SpecError
from notebake.plan import base_lock, targets
from notebake.plan.plan import Plan
from notebake.plan.targets import Download
from notebake.progress import Steps
from notebake.provision import files
from notebake.render import output

Make = Callable[..., Plan]
DIGEST = "ab" * 32
URL = "https://mirror.example/noble/release-20261101/a.img"


def qcow2(*, backing: int = 0, features: int = 0, clusters: int = 64) -> bytes:
    """Return the header of an image, as in QEMU's docs/interop/qcow2.rst, and some bytes after it."""
    header = b"QFI\xfb" + (3).to_bytes(4, "big") + backing.to_bytes(8, "big") + bytes(24)
    return header + clusters.to_bytes(8, "big") + bytes(24) + features.to_bytes(8, "big") + bytes(24)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "base.x: needs either url or file"),
        (f'url = "{URL}"\nfile = "a"\nsha256 = "{DIGEST}"', "needs either url or file"),
        (f'url = "{URL}"', "a url needs sha256 or `signed = true`"),
        ('url = "http://a/b.img"\nsigned = true', "a url with http needs sha256"),
        ('url = "https://me:secret@a/b.img"\nsigned = true', "no user, password or query"),
        ('url = "https://token@a/b.img"\nsigned = true', "no user, password or query"),
        ('url = "https://a/b.img?token=s"\nsigned = true', "no user, password or query"),
        ('url = "https://a/b.img?"\nsigned = true', "no user, password or query"),
        ('url = "ftp://a/b.img"\nsigned = true', "not the URL of an image"),
        ('url = "file:///a/b.img"\nsigned = true', "not the URL of an image"),
        ('url = "https://a/"\nsigned = true', "not the URL of an image"),
        ('url = "https://a"\nsigned = true', "not the URL of an image"),
        ('url = "/a/b.img"\nsigned = true', "not the URL of an image"),
        (f'url = "{URL}"\nsha256 = "abc"', "not a SHA-256"),
        (f'url = "{URL}"\nsigned = "yes"', "base.x.signed"),
        ('file = ""', "base.x.file"),
        ('path = "a"', "base.x.path: unknown key"),
    ],
)
def test_a_base_without_a_check_or_with_a_secret_is_refused(make_plan: Make, text: str, problem: str) -> None:
    with pytest.raises(SpecError) as caught:
        make_plan(f"[base.x]\n{text}\n")
    assert problem in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("header", ['[base."ubuntu-24.04"]', "[base.ubuntu-24.04]"])
def test_a_base_replaces_that_of_its_target(make_plan: Make, header: str) -> None:
    text = f'{header}\nurl = "{URL}"\nsha256 = "{DIGEST.upper()}"\n'
    text += f'[base.debian-13]\nurl = "{URL}"\nsigned = true\n'
    made = make_plan(text, "ubuntu-24.04")
    assert made.target.base == Download(kind="download", url=URL, sha256=DIGEST)
    rendered = {file.path: file.data for file in output.render(made).files}
    variables = json.loads(rendered["packer/variables.pkrvars.json"])
    assert (variables["base_image"], variables["base_checksum"]) == (URL, f"sha256:{DIGEST}")
    assert make_plan(text, "ubuntu-26.04").target == targets.get("ubuntu-26.04")
    with pytest.raises(SpecError, match="knows no key for images of Debian"):
        make_plan(text, "debian-13")
    with pytest.raises(SpecError, match=r"base\.ubuntu-24\.4: no such target") as caught:
        make_plan(f'[base.ubuntu-24.4]\nurl = "{URL}"\nsha256 = "{DIGEST}"\n')
    assert "ubuntu-24.04" in str(caught.value.hint)
    with pytest.raises(SpecError, match="Windows is installed from its ISO"):
        make_plan(f'[base.windows-2025]\nurl = "{URL}"\nsha256 = "{DIGEST}"\n', "windows-2025")


@pytest.mark.parametrize(
    ("target", "image", "sums", "signature"),
    [
        ("ubuntu-24.04", "a.img", "SHA256SUMS", "SHA256SUMS.gpg"),
        ("opensuse-leap-16.0", "own name.qcow2", "own%20name.qcow2.sha256", "own%20name.qcow2.sha256.asc"),
    ],
)
def test_a_mirror_has_the_projects_signature_beside_the_image(
    make_plan: Make, target: str, image: str, sums: str, signature: str
) -> None:
    folder = "https://mirror.example/images"
    url = f"{folder}/{image.replace(' ', '%20')}"
    made = make_plan(f'[base."{target}"]\nurl = "{url}"\nsigned = true\n', target)
    assert isinstance(made.target.base, Download) and made.target.base.signed is not None
    signed = made.target.base.signed
    assert (signed.sums, signed.signature) == (f"{folder}/{sums}", f"{folder}/{signature}")
    shipped = targets.get(target).base
    assert isinstance(shipped, Download) and shipped.signed is not None
    assert signed.fingerprint == shipped.signed.fingerprint
    assert made.target.base.name == image


def test_a_file_is_read_and_checked(make_plan: Make, tmp_path: Path) -> None:
    text = '[base.debian-13]\nfile = "own.qcow2"\n'
    with pytest.raises(SpecError, match=r"base\.debian-13\.file: .*own\.qcow2: no such file"):
        make_plan(text)
    path = tmp_path / "own.qcow2"
    path.mkdir()
    with pytest.raises(SpecError, match="not a file"):
        make_plan(text)
    path.rmdir()
    for content, problem in (
        (b"", "not a qcow2 image"),
        (b"\xfd7zXZ" + bytes(200), "not a qcow2 image"),
        (qcow2(backing=112), "needs another image file"),
        (qcow2(features=4), "needs another image file"),
        (qcow2(clusters=1 << 20), "is not whole"),
    ):
        path.write_bytes(content)
        with pytest.raises(SpecError, match=problem):
            make_plan(text)
    path.write_bytes(qcow2())
    digest = hashlib.sha256(qcow2()).hexdigest()
    with pytest.raises(SpecError, match=f"SHA-256 is {digest}, expected {DIGEST}"):
        make_plan(f'{text}sha256 = "{DIGEST}"\n')
    made = make_plan(text)
    assert isinstance(made.target.base, Download) and made.target.base.sha256 == digest
    dated = tmp_path / "20200101/own-20261101.qcow2"
    dated.parent.mkdir()
    path.rename(dated)
    os.utime(dated, (0, 0))
    assert base.date(make_plan(f'[base.debian-13]\nfile = "{dated}"\n')) == "2026-11-01"
    plain = dated.rename(dated.with_name("own.qcow2"))
    assert base.date(make_plan(f'[base.debian-13]\nfile = "{plain}"\n')) == "1970-01-01"
    # The folders of this host are in no rendered file and in no record.
    assert made.target.base.origin == "file:own.qcow2"
    assert all(str(tmp_path).encode() not in file.data for file in output.render(made).files)


def test_a_pinned_image_is_the_same_wherever_it_comes_from(make_plan: Make, tmp_path: Path) -> None:
    (tmp_path / "own.qcow2").write_bytes(qcow2())
    digest = hashlib.sha256(qcow2()).hexdigest()

    def its_id(text: str) -> str:
        return base.base_id(make_plan(f"[base.debian-13]\n{text}\n"))

    one = its_id('file = "own.qcow2"')
    assert one == its_id(f'url = "{URL}"\nsha256 = "{digest}"')
    assert one != its_id(f'url = "{URL}"\nsha256 = "{DIGEST}"')
    assert one != base.base_id(make_plan(""))


def test_the_lock_counts_until_the_spec_names_another(make_plan: Make, tmp_path: Path) -> None:
    target = targets.get("ubuntu-24.04")
    locked = Download(kind="download", url="https://x/a.img", sha256=DIGEST, date="2026-11-20")
    path = base_lock.path_for(target, tmp_path)
    base_lock.write(locked, path)
    assert make_plan("", "ubuntu-24.04").target.base == locked
    assert base.date(make_plan("", "ubuntu-24.04")) == "2026-11-20"
    named = make_plan(f'[base.ubuntu-24.04]\nurl = "{URL}"\nsha256 = "{DIGEST}"\n', "ubuntu-24.04")
    assert base.date(named) == "2026-11-01"
    for text in ("", 'url = "https://x/a.img"\ndate = "2026-11-20"', "<<<<<<<", path.read_text() + "x = 1"):
        path.write_text(text)
        with pytest.raises(SpecError, match="not a lock of a base image") as caught:
            make_plan("", "ubuntu-24.04")
        assert "notebake lock --bases ubuntu-24.04" in str(caught.value.hint)


def test_a_base_older_than_30_days_is_warned_of(make_plan: Make) -> None:
    made = make_plan(f'[base.ubuntu-24.04]\nurl = "{URL}"\nsha256 = "{DIGEST}"\n', "ubuntu-24.04")
    assert base.warning(made, datetime(2026, 12, 1, tzinfo=UTC)) is None
    text = base.warning(made, datetime(2026, 12, 2, tzinfo=UTC))
    assert text is not None and "is of 2026-11-01, 31 days old" in text and "[base." in text
    own = base.warning(make_plan("", "ubuntu-24.04"), datetime(2026, 12, 2, tzinfo=UTC))
    assert own is not None and "`notebake lock --bases ubuntu-24.04`" in own
    # Not known: an undated link. Made on this host: it has --max-age.
    for name in ("opensuse-leap-16.0", "debian-13"):
        assert base.warning(make_plan("", name), datetime(2036, 12, 2, tzinfo=UTC)) is None


def test_plan_shows_the_base(run: Run, tmp_path: Path) -> None:
    (tmp_path / "notebake.toml").write_text(f'[base.ubuntu-24.04]\nurl = "{URL}"\nsha256 = "{DIGEST}"\n')
    code, out, _ = run("plan", "ubuntu-24.04")
    assert code == 0 and f"base         {URL}, of 2026-11-01\n" in out
    assert json.loads(run("plan", "ubuntu-24.04", "--json")[1])["base"] == {
        "origin": URL,
        "date": "2026-11-01",
    }


@pytest.mark.parametrize(
    ("url", "day"),
    [
        ("https://x/release-20261101/a.img", "2026-11-01"),
        ("https://x/release-20261101.2/a.img", "2026-11-01"),
        ("https://x/Minimal-Cloud-Snapshot20261101.qcow2", "2026-11-01"),
        ("https://x/a-120261101.img", None),
        ("https://x/a-20261301.img", None),
        ("https://x/a-20261939.img", None),
        ("https://x/a-1.2.img", None),
    ],
)
def test_the_day_in_a_url(url: str, day: str | None) -> None:
    assert newest.day(url) == day


class TestAge:
    """A Debian root filesystem has an age: here it is made by writing a file."""

    @pytest.fixture(autouse=True)
    def quick(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        self.made: list[str] = []
        self.failure: CommandFailed | None = None

        def make(destination: Path, **others: Any) -> None:
            self.made.append(destination.suffix)
            if self.failure:
                raise self.failure
            destination.write_bytes(str(len(self.made)).encode())

        monkeypatch.setattr(mmdebstrap, "make_root", make)
        monkeypatch.setattr(mmdebstrap, "make_disk", make)

    def test_an_old_root_and_its_disk_are_made_again(self, make_plan: Make, tmp_path: Path) -> None:
        plan, log, now = make_plan(), tmp_path / "log", datetime.now(UTC)
        week = now - timedelta(days=7)
        disk = base.disk(plan, Steps(), log, week)
        assert base.disk(plan, Steps(), log, week) == disk and self.made == [".zst", ".qcow2"]
        root = base.root(plan, Steps(), log)
        old = (now - timedelta(days=8)).timestamp()
        os.utime(root, (old, old))
        os.utime(disk, (old, old))
        before = inputs.inputs(plan, files.build(plan))
        assert base.disk(plan, Steps(), log) == disk and len(self.made) == 2  # any age
        assert base.disk(plan, Steps(), log, week) == disk and self.made[2:] == [".zst", ".qcow2"]
        assert root.read_bytes() == b"3" and disk.read_bytes() == b"4"
        # What a bake depends on is the state of the package sources, not the day on which the root was made.
        assert inputs.inputs(plan, files.build(plan)) == before

    def test_a_disk_older_than_its_root_is_made_again(self, make_plan: Make, tmp_path: Path) -> None:
        plan, log = make_plan(), tmp_path / "log"
        disk = base.disk(plan, Steps(), log)
        os.utime(disk, (1, 1))  # killed after the root, before the disk
        base.disk(plan, Steps(), log)
        assert self.made == [".zst", ".qcow2", ".qcow2"]

    def test_a_failure_keeps_the_old_one_and_says_how_to_use_it(
        self, make_plan: Make, tmp_path: Path
    ) -> None:
        plan, log, now = make_plan(), tmp_path / "log", datetime.now(UTC)
        root = base.root(plan, Steps(), log)
        old = (now - timedelta(days=9)).timestamp()
        os.utime(root, (old, old))
        self.failure = CommandFailed("mmdebstrap: failed", "check the mirror")
        with pytest.raises(CommandFailed) as caught:
            base.root(plan, Steps(), log, now - timedelta(days=7))
        assert caught.value.hint == (
            f"check the mirror; or take the one of {(now - timedelta(days=9)).date()}: --max-age 10"
        )
        assert root.read_bytes() == b"1"

    def test_max_age_0_makes_it_once(self, make_plan: Make, tmp_path: Path) -> None:
        plan, log, now = make_plan(), tmp_path / "log", datetime.now(UTC)
        root = base.root(plan, Steps(), log)
        os.utime(root, (now.timestamp() - 1, now.timestamp() - 1))
        base.root(plan, Steps(), log, now)
        os.utime(root, (now.timestamp() + 1, now.timestamp() + 1))
        base.root(plan, Steps(), log, now)
        assert self.made == [".zst", ".zst"]

    def test_launch_takes_an_old_root_only_if_told_to(
        self, make_plan: Make, run: Run, tmp_path: Path
    ) -> None:
        (tmp_path / "notebake.toml").write_text("")
        root = base.root(make_plan(""), Steps(), tmp_path / "log")
        old = (datetime.now(UTC) - timedelta(days=9)).timestamp()
        os.utime(root, (old, old))
        self.failure = CommandFailed("mmdebstrap: failed", "check the mirror")
        code, _, err = run("launch", "debian-13")
        assert code == 4 and "--max-age 10" in err and self.made == [".zst", ".zst"]
        self.failure = CommandFailed("mke2fs: failed")
        code, _, err = run("launch", "debian-13", "--max-age", "10")
        assert code == 4 and "--max-age" not in err and self.made[2:] == [".qcow2"]
