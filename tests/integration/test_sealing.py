"""What was deleted before an image is sealed is not in its free space; real ext4 on a loop device."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from notebake import paths

ZERO = paths.data_folder("images") / "_shared/linux/scripts/zero.py"
FILES = 600


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk"
    with open(path, "wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-b", "4096", path], check=True)
    return path


@pytest.fixture
def folder(disk: Path, tmp_path: Path) -> Iterator[Path]:
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    subprocess.run(["mount", "-o", "loop", disk, mounted], check=True)
    yield mounted
    subprocess.run(["umount", mounted], check=True)


def count(disk: Path, text: bytes) -> int:
    return disk.read_bytes().count(text)


def test_free_blocks_between_files_are_zeroed(disk: Path, folder: Path) -> None:
    for number in range(FILES):
        word = "kept" if number % 2 else "secret"
        (folder / f"{word}-{number}").write_text(f"{word}-log\n")
    subprocess.run(["sync"], check=True)
    for path in folder.glob("secret-*"):
        path.unlink()
    subprocess.run(["sync"], check=True)
    assert count(disk, b"secret-log\n") == FILES // 2  # the test can fail
    subprocess.run([sys.executable, ZERO, folder], check=True)
    subprocess.run(["fstrim", folder], check=True)
    subprocess.run(["sync"], check=True)
    assert count(disk, b"secret-log\n") == 0
    assert all(path.read_text() == "kept-log\n" for path in folder.glob("kept-*"))
    assert len(list(folder.iterdir())) == FILES // 2 + 1  # lost+found


def test_another_file_system_is_left_alone() -> None:
    subprocess.run([sys.executable, ZERO, "/dev/shm"], check=True)
