"""Take the root filesystem out of a golden qcow2 image, and pack it for a container."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from notebake import process
from notebake.errors import CommandFailed, MissingTool, SpecError
from notebake.progress import Steps

_SECONDS = 900
_ROOT_TYPES = (
    "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",  # x86-64 root, Discoverable Partitions Specification
    "0FC63DAF-8483-4772-8E79-3D69D8477DE4",  # Linux filesystem data
    "83",  # the same in a DOS partition table
)


@contextmanager
def root_of(image: Path, scratch: Path) -> Iterator[Path]:
    """Yield a folder with the root filesystem (ext4) of the qcow2 `image`, to be read only; use `scratch`.

    A read-only loop mount is used where loop devices work: it keeps everything. Where they do not
    (many containers) debugfs reads the file system: owners, modes and symlinks are kept, file
    capabilities are lost and hard links become copies. Raises SpecError, MissingTool, CommandFailed.
    """
    if not image.is_file():
        raise SpecError(f"{image}: no such image", "bake it first: notebake bake")
    raw, tree = scratch / "disk.raw", scratch / "root"
    process.run(["qemu-img", "convert", "-O", "raw", image, raw], timeout=_SECONDS)
    offset, size = partition(process.run(["sfdisk", "-J", raw], timeout=60).stdout, image)
    tree.mkdir(mode=0o755)
    with _mounted(raw, offset, size, tree) as is_mounted:
        if not is_mounted:
            _rdump(raw, offset, size, tree)
        yield tree


def pack(tree: Path, destination: Path) -> None:
    """Make the tar `destination` (.zst) of a root file system. Raises MissingTool or CommandFailed."""
    process.which("zstd")  # tar would only report that a child process failed
    keep = ["--numeric-owner", "--xattrs", "--xattrs-include=*"]
    argv: list[str | Path] = ["tar", "--zstd", *keep, "--sort=name", "-cpf", destination, "-C", tree, "."]
    # It is packed to be unpacked here: speed counts, and each level costs a second.
    process.run(argv, timeout=_SECONDS, env={"ZSTD_CLEVEL": "1", "ZSTD_NBTHREADS": "0"})


@contextmanager
def squashed(disk: Path, steps: Steps) -> Iterator[Path]:
    """Yield a squashfs of the root filesystem in a qcow2 disk, its container form, and delete it afterwards.

    Raises SpecError, MissingTool (also when this is not root), CommandFailed.
    """
    if os.geteuid() != 0:
        raise MissingTool(
            f"{disk}: only root can make a container of it, since its files have other owners", "use sudo"
        )
    process.which("mksquashfs")
    if not disk.is_file():
        raise SpecError(f"{disk}: no such image", "bake it first: notebake bake")
    with tempfile.TemporaryDirectory(dir=disk.parent, prefix=".container-") as name:
        made = Path(name) / "root.squashfs"
        with steps.step("make the container form"), root_of(disk, Path(name)) as tree:
            argv: list[str | Path] = ["mksquashfs", tree, made, "-noappend", "-quiet", "-no-progress"]
            process.run([*argv, "-comp", "zstd", "-Xcompression-level", "9"], timeout=_SECONDS)
        yield made


def partition(table: bytes, image: Path) -> tuple[int, int]:
    """(offset, size) in bytes of the root partition, from `sfdisk -J`: the largest of a Linux type.

    Raises CommandFailed when there is none.
    """
    parsed = json.loads(table)["partitiontable"]
    sector = int(parsed.get("sectorsize", 512))
    found = [each for each in parsed["partitions"] if each["type"].upper() in _ROOT_TYPES]
    if not found:
        raise CommandFailed(f"{image}: has no Linux partition", "launch it with --platform qemu")
    root = max(found, key=lambda each: int(each["size"]))
    return int(root["start"]) * sector, int(root["size"]) * sector


@contextmanager
def _mounted(raw: Path, offset: int, size: int, folder: Path) -> Iterator[bool]:
    """Mount the filesystem on `folder` in the block; yield False where that is not possible."""
    # noload: a journal that was not replayed would need a write.
    options = f"ro,noload,loop,offset={offset},sizelimit={size}"
    try:
        process.run(["mount", "-t", "ext4", "-o", options, raw, folder], timeout=60)
    except (CommandFailed, MissingTool):
        yield False
        return
    try:
        yield True
    finally:
        # The loop device detaches itself; a lazy unmount is better than a folder that stays.
        with suppress(CommandFailed):
            process.run(["umount", folder], timeout=60)
        if os.path.ismount(folder):
            process.run(["umount", "--lazy", folder], timeout=60)


def _rdump(raw: Path, offset: int, size: int, destination: Path) -> None:
    alone = raw.with_name("root.raw")
    argv = ["dd", f"if={raw}", f"of={alone}", "bs=4M", "iflag=skip_bytes,count_bytes", "conv=sparse"]
    process.run([*argv, f"skip={offset}", f"count={size}"], timeout=_SECONDS)
    # debugfs splits its request at blanks and knows no quotes that help: a link without blanks.
    short = Path(tempfile.mkdtemp(prefix="nb-"))
    try:
        (short / "to").symlink_to(destination)
        process.run(["debugfs", "-R", f"rdump / {short}/to", alone], timeout=_SECONDS)
    finally:
        shutil.rmtree(short)
    if not (destination / "usr").is_dir():  # debugfs exits 0 whatever happened
        raise CommandFailed(
            f"{destination}: debugfs could not read the root file system", "is the disk full?"
        )
    _special_bits(alone, destination)


def _special_bits(alone: Path, destination: Path) -> None:
    """Restore the setuid, setgid and sticky bits, which debugfs loses: sudo would not work."""
    folders = [
        "/" + str(Path(place).relative_to(destination)).removeprefix(".")
        for place, _, _ in os.walk(destination)
    ]
    # A name with a quote or a newline would be another request; the system's own folders have neither.
    asked = [each for each in folders if not any(char in each for char in '"\n')]
    script = alone.with_name("modes")
    script.write_text("".join(f'ls -p "{each}"\n' for each in asked), encoding="utf-8")
    said = process.run(["debugfs", "-f", script, alone], timeout=_SECONDS).stdout.decode("utf-8", "replace")
    for path, mode in special(said):
        place = destination / path
        if not place.is_symlink() and place.exists():
            place.chmod(mode)


def special(listing: str) -> Iterator[tuple[str, int]]:
    """(relative path, mode) of all in debugfs's `ls -p` answers that has a setuid, setgid or sticky bit."""
    folder = ""
    for line in listing.splitlines():
        if line.startswith("debugfs: ls -p "):
            folder = line.split('"')[1].strip("/")
        elif line.startswith("/"):
            # /inode/mode/uid/gid/name/size/
            fields = line.split("/")
            mode = int(fields[2], 8)
            if mode & 0o7000 and fields[5] not in (".", ".."):
                yield f"{folder}/{fields[5]}".lstrip("/"), mode & 0o7777
