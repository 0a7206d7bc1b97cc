"""Makes the plain base of a target that has no download site: a root tar, and from it a boot disk.

Nothing here needs loop devices, mounts or a boot loader's installer: `mke2fs -d` fills the file
system, sfdisk writes the partition table, and GRUB's two boot files are put where its own installer
would put them. Both results are written beside their place and renamed, so a half-made one never
has the real name.
"""

from __future__ import annotations

import os
import shlex
import shutil
import struct
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from notebake import process
from notebake.errors import CommandFailed, MissingTool, SpecError
from notebake.files import sha256

MIB = 1024 * 1024
SECTOR = 512

# The boot partition lies between the table and the root, so that the root is last and can grow.
# Numbers 14 and 1 as on Debian's own cloud disks.
_BOOT_START = 1 * MIB
_ROOT_START = 2 * MIB
_TABLE_END = 1 * MIB  # room for the second copy of the GPT

_GRUB_FOLDER = Path("/usr/lib/grub/i386-pc")
_GRUB_MODULES = ("biosdisk", "part_gpt", "ext2", "probe", "linux")

# What Debian's GRUB 2.06 and the guest's kernel both read.
_EXT4_FEATURES = "^metadata_csum_seed,^orphan_file"


def make_root(
    *,
    suite: str,
    components: Sequence[str],
    mirror: str | None,
    packages: Sequence[str],
    destination: Path,
    log: Path,
    customize: Path,
) -> None:
    """Make the tar of a bootable Debian root; needs mmdebstrap and root.

    `mirror` None means mmdebstrap's own default for the suite. `customize` is a folder with
    `before-packages.sh` and `after-packages.sh`, each run with the root's path. `destination` ends in
    `.tar`, or in `.tar.zst` for a compressed one. Two roots of one mirror state made on one day (UTC)
    are alike: every time stamp is at most last midnight. Raises MissingTool or CommandFailed; then
    nothing is left at `destination`.
    """
    if os.geteuid() != 0:
        raise MissingTool("mmdebstrap: making a base needs root", "run the same command with sudo")
    midnight = int(time.time()) // 86400 * 86400
    with _beside(destination) as folder:
        # apt gives up its rights while it downloads and must still reach its folders.
        folder.chmod(0o711)
        made = folder / destination.name
        argv: list[str | Path] = [
            "mmdebstrap",
            "--variant=minbase",
            "--mode=root",
            f"--components={','.join(components)}",
            f"--include={','.join(packages)}",
            f"--essential-hook={_hook(customize / 'before-packages.sh')}",
            f"--customize-hook={_hook(customize / 'after-packages.sh')}",
            suite,
            made,
        ]
        if mirror is not None:
            argv.append(mirror)
        env = {"SOURCE_DATE_EPOCH": str(midnight), "TMPDIR": str(folder), "LC_ALL": "C.UTF-8"}
        process.run(argv, timeout=1800, env=env, log=log)
        made.replace(destination)


def make_disk(*, root: Path, size_mib: int, destination: Path, log: Path, grub_config: Path) -> None:
    """Make a qcow2 disk of `size_mib` MiB from a root tar; it boots by BIOS. Needs root.

    `grub_config` is built into the boot loader's core and does all it has to do. The disk is
    zstd-compressed: meant to lie under an overlay. Identifiers come from the tar's digest, so no two
    bases share them and one base keeps them. Raises MissingTool, SpecError when the root does not
    fit, or CommandFailed; then nothing is left at `destination`.
    """
    if os.geteuid() != 0:
        raise MissingTool("mke2fs: filling a disk from a root needs root", "run the same command with sudo")
    digest = sha256(root)
    with _beside(destination) as folder:
        tree, raw, made = folder / "tree", folder / "disk.raw", folder / "disk.qcow2"
        tree.mkdir()
        _unpack(root, tree, log)
        _check_size(tree, size_mib)
        with open(raw, "wb") as disk:
            disk.truncate(size_mib * MIB)
        _partition(raw, size_mib, digest, log)
        _fill(raw, tree, size_mib, digest, log)
        shutil.rmtree(tree)
        write_boot_loader(raw, boot_image(), core_image(grub_config, folder, log))
        convert = ("convert", "-f", "raw", "-O", "qcow2", "-c", "-o", "compression_type=zstd", raw, made)
        process.run(["qemu-img", *convert], timeout=900, log=log)
        made.replace(destination)


def boot_image() -> bytes:
    """GRUB's first 512 bytes for BIOS; raises MissingTool when the package grub-pc-bin is not there."""
    path = _GRUB_FOLDER / "boot.img"
    if not path.is_file():
        raise MissingTool(f"{path}: GRUB for BIOS is not installed", "apt-get install grub-pc-bin")
    return path.read_bytes()


def core_image(config: Path, folder: Path, log: Path) -> bytes:
    """GRUB's core with `config` built in, made in `folder`; raises MissingTool or CommandFailed."""
    core = folder / "core.img"
    # The prefix names no disk: the core adds the one it was started from.
    options = ("-O", "i386-pc", "-p", "(,gpt1)/boot/grub", "-c", config, "-o", core)
    process.run(["grub-mkimage", *options, *_GRUB_MODULES], timeout=120, log=log)
    return core.read_bytes()


def write_boot_loader(raw: Path, boot: bytes, core: bytes) -> None:
    """Write GRUB's boot sector and core into a raw disk, told where they are.

    The offsets are GRUB's (include/grub/i386/pc/boot.h and offsets.h): in the boot sector the core's
    first sector (0x5c, 8 bytes), the drive (0x64, 0xff: the one the BIOS names) and the drive check
    (0x66, two no-ops on hard disks); in the core's first sector, at its end, where the rest of it
    starts (0x1f4). Raises CommandFailed when the core is too large for its partition.
    """
    if len(core) > _ROOT_START - _BOOT_START:
        raise CommandFailed(
            f"grub-mkimage: the core has {len(core)} bytes, its partition {_ROOT_START - _BOOT_START}",
            "fewer modules, or a shorter configuration",
        )
    first = _BOOT_START // SECTOR
    sector = bytearray(boot[:440])
    sector[0x5C:0x64] = struct.pack("<Q", first)
    sector[0x64] = 0xFF
    sector[0x66:0x68] = b"\x90\x90"
    body = bytearray(core)
    body[0x1F4:0x1FC] = struct.pack("<Q", first + 1)
    with open(raw, "r+b") as disk:
        disk.write(sector)
        disk.seek(_BOOT_START)
        disk.write(body)


@contextmanager
def _beside(destination: Path) -> Iterator[Path]:
    """A working folder on the destination's file system, gone afterwards whatever happens."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=destination.parent, prefix=".base-") as folder:
        yield Path(folder)


def _hook(script: Path) -> str:
    """An mmdebstrap hook that runs `script` by sh: the execute bit does not survive every packaging."""
    return f'sh {shlex.quote(str(script.resolve()))} "$1"'


def _uuid(digest: str, use: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"notebake {use} {digest}"))


def _unpack(root: Path, tree: Path, log: Path) -> None:
    keep = ("--numeric-owner", "--same-permissions", "--xattrs", "--xattrs-include=*")
    process.run(["tar", "-C", tree, *keep, "-xf", root], timeout=600, log=log)
    kernel, initrd = tree / "vmlinuz", tree / "initrd.img"
    if not (kernel.exists() and initrd.exists()):
        raise CommandFailed(
            f"{root}: the root has no /vmlinuz or no /initrd.img, so it cannot boot",
            "the target's package list needs a kernel and initramfs-tools",
        )


def _check_size(tree: Path, size_mib: int) -> None:
    files = (path.lstat() for path in tree.rglob("*"))
    used = sum(stat.st_blocks * SECTOR for stat in files)
    # A quarter for the file system's own needs and for first-boot work before growpart.
    wanted = used * 5 // 4 // MIB + 64
    if size_mib < wanted:
        raise SpecError(
            f"size_mib: {size_mib} MiB is too small for this root, which needs {wanted} MiB",
            "raise the base disk's size in the target's target.toml",
        )


def _partition(raw: Path, size_mib: int, digest: str, log: Path) -> None:
    end = (size_mib * MIB - _TABLE_END) // SECTOR
    boot, root = _BOOT_START // SECTOR, _ROOT_START // SECTOR
    table = "\n".join(
        (
            "label: gpt",
            f"label-id: {_uuid(digest, 'disk')}",
            f"14 : start={boot}, size={root - boot}, uuid={_uuid(digest, 'boot')}, "
            "type=21686148-6449-6E6F-744E-656564454649",
            f"1 : start={root}, size={end - root}, uuid={_uuid(digest, 'root')}, "
            "type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",
        )
    )
    options = ("--no-reread", "--no-tell-kernel", "--quiet", raw)
    process.run(["sfdisk", *options], timeout=60, stdin=f"{table}\n".encode(), log=log)


def _fill(raw: Path, tree: Path, size_mib: int, digest: str, log: Path) -> None:
    extended = f"offset={_ROOT_START},hash_seed={_uuid(digest, 'directories')},lazy_itable_init=0"
    options = ("-q", "-F", "-t", "ext4", "-m", "1", "-O", _EXT4_FEATURES, "-E", extended)
    named = ("-L", "root", "-U", _uuid(digest, "filesystem"), "-d", tree)
    blocks = (size_mib * MIB - _TABLE_END - _ROOT_START) // 1024
    argv: list[str | Path] = ["mke2fs", *options, *named, raw, f"{blocks}k"]
    process.run(argv, timeout=900, env={"E2FSPROGS_FAKE_TIME": str(int(tree.stat().st_mtime))}, log=log)
