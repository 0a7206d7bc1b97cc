"""Build the base image of a target that publishes none: a root filesystem (tar), and a boot disk from it.

This needs no loop devices, mounts or boot loader installer: `mke2fs -d` fills the file system, sfdisk
writes the partition table, and GRUB's two boot files are written where grub-install would write them. Both
results are built in a temporary folder and renamed, so an incomplete one never has the final name.
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

# The boot partition is between the partition table and the root partition, so that root is last and can
# grow. The numbers 14 and 1 are those of Debian's cloud images.
_BOOT_START = 1 * MIB
_ROOT_START = 2 * MIB
_TABLE_END = 1 * MIB  # space for the second copy of the GPT

_CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
_GRUB_FOLDER = Path("/usr/lib/grub/i386-pc")
_GRUB_MODULES = ("biosdisk", "part_gpt", "ext2", "probe", "linux")

# Features that both Debian's GRUB 2.06 and the machine's kernel can read.
_EXT4_FEATURES = "^metadata_csum_seed,^orphan_file"


def make_root(
    *,
    suite: str,
    components: Sequence[str],
    sources: Sequence[str],
    packages: Sequence[str],
    destination: Path,
    log: Path,
    customize: Path,
    ca_certificates: Sequence[str] = (),
) -> None:
    """Build a bootable Debian root filesystem as a tar. Requires mmdebstrap and root permission.

    `sources`: lines of sources.list; empty is mmdebstrap's default for the suite. `customize`: folder with
    `before-packages.sh` and `after-packages.sh`, each run with the root's path. `destination` ends in
    `.tar`, or in `.tar.zst` to compress. Sources may have a certificate of one of `ca_certificates` (PEM),
    which are not in the result. Two builds from the same mirror state on the same day (UTC) are
    identical: no timestamp is after midnight of that day. Raises MissingTool or CommandFailed;
    `destination` then does not exist.
    """
    if os.geteuid() != 0:
        raise MissingTool("mmdebstrap: building a base image requires root", "run the same command with sudo")
    midnight = int(time.time()) // 86400 * 86400
    with _temporary_folder(destination) as folder:
        # apt drops root while it downloads, and must still reach its folders.
        folder.chmod(0o711)
        tar = folder / destination.name
        argv: list[str | Path] = [
            "mmdebstrap",
            "--variant=minbase",
            "--mode=root",
            f"--components={','.join(components)}",
            f"--include={','.join(packages)}",
            f"--essential-hook={_hook(customize / 'before-packages.sh')}",
            f"--customize-hook={_hook(customize / 'after-packages.sh')}",
            suite,
            tar,
            *sources,
        ]
        if ca_certificates:
            bundle = folder / "ca.pem"
            known = _CA_BUNDLE.read_text("utf-8") if _CA_BUNDLE.exists() else ""
            bundle.write_text(known + "".join(ca_certificates), "utf-8")
            bundle.chmod(0o644)
            argv[1:1] = [
                f'--aptopt=Acquire::https::CAInfo "{bundle}"',
                # Where mmdebstrap leaves that setting.
                '--customize-hook=rm "$1/etc/apt/apt.conf.d/99mmdebstrap"',
            ]
        env = {"SOURCE_DATE_EPOCH": str(midnight), "TMPDIR": str(folder), "LC_ALL": "C.UTF-8"}
        process.run(argv, timeout=1800, env=env, log=log)
        tar.replace(destination)


def make_disk(*, root: Path, size_mib: int, destination: Path, log: Path, grub_config: Path) -> None:
    """Build a qcow2 disk of `size_mib` MiB from a root filesystem (tar). It boots with BIOS. Requires root.

    `grub_config` is built into the boot loader's core and is its whole configuration. The disk is
    zstd-compressed, to be the backing file of an overlay. UUIDs are derived from the tar's digest: unique
    for each base image, and the same in every build of it. Raises MissingTool, CommandFailed, or SpecError
    if the root filesystem is too large; `destination` then does not exist.
    """
    if os.geteuid() != 0:
        raise MissingTool("mke2fs: building a base disk requires root", "run the same command with sudo")
    digest = sha256(root)
    with _temporary_folder(destination) as folder:
        tree, raw, qcow2 = folder / "tree", folder / "disk.raw", folder / "disk.qcow2"
        unpack(root, tree, log)
        _check_size(tree, size_mib)
        make_raw_disk(
            tree=tree, identity=digest, size_mib=size_mib, destination=raw, log=log, grub_config=grub_config
        )
        shutil.rmtree(tree)
        process.run(
            [
                "qemu-img", "convert",
                "-f", "raw",
                "-O", "qcow2",
                "-c",
                "-o", "compression_type=zstd",
                raw,
                qcow2,
            ],
            timeout=900,
            log=log,
        )  # fmt: skip
        qcow2.replace(destination)


def unpack(root: Path, tree: Path, log: Path) -> None:
    """Make the folder `tree` from the root filesystem `root` (tar). CommandFailed if it cannot boot."""
    tree.mkdir()
    process.run(
        [
            "tar",
            "-C", tree,
            "--numeric-owner",
            "--same-permissions",
            "--xattrs",
            "--xattrs-include=*",
            "-xf", root,
        ],
        timeout=600,
        log=log,
    )  # fmt: skip
    kernel, initrd = tree / "vmlinuz", tree / "initrd.img"
    if not (kernel.exists() and initrd.exists()):
        raise CommandFailed(
            f"{root}: cannot boot: /vmlinuz or /initrd.img is missing",
            "add a kernel and initramfs-tools to the packages in target.toml",
        )


def make_raw_disk(
    *, tree: Path, identity: str, size_mib: int, destination: Path, log: Path, grub_config: Path
) -> None:
    """Write a raw disk of `size_mib` MiB that boots from the root filesystem in the folder `tree`.

    Its UUIDs are derived from `identity`. Requires root. Raises MissingTool or CommandFailed.
    """
    with open(destination, "wb") as disk:
        disk.truncate(size_mib * MIB)
    _partition(destination, size_mib, identity, log)
    _fill(destination, tree, size_mib, identity, log)
    write_boot_loader(destination, boot_image(), core_image(grub_config, destination.parent, log))


def required_mib(tree: Path) -> int:
    """Return the size of a disk for `tree`, in MiB."""
    files = (path.lstat() for path in tree.rglob("*"))
    used = sum(stat.st_blocks * SECTOR for stat in files)
    # A quarter more for file system metadata and for the first boot before growpart.
    return used * 5 // 4 // MIB + 64


def boot_image() -> bytes:
    """Return GRUB's boot sector for BIOS (512 bytes). Raises MissingTool without the package grub-pc-bin."""
    path = _GRUB_FOLDER / "boot.img"
    if not path.is_file():
        raise MissingTool(f"{path}: GRUB for BIOS is not installed", "apt-get install grub-pc-bin")
    return path.read_bytes()


def core_image(config: Path, folder: Path, log: Path) -> bytes:
    """Build GRUB's core with `config` in `folder` and return it. Raises MissingTool, CommandFailed."""
    core = folder / "core.img"
    process.run(
        [
            "grub-mkimage",
            "-O", "i386-pc",
            # The prefix names no disk: the core adds the disk it was started from.
            "-p", "(,gpt1)/boot/grub",
            "-c", config,
            "-o", core,
            *_GRUB_MODULES,
        ],
        timeout=120,
        log=log,
    )  # fmt: skip
    return core.read_bytes()


def write_boot_loader(raw: Path, boot: bytes, core: bytes) -> None:
    """Write GRUB's boot sector and core to a raw disk, and set the sector numbers in them.

    The offsets are GRUB's (include/grub/i386/pc/boot.h and offsets.h). In the boot sector: the core's first
    sector (0x5c, 8 bytes), the drive (0x64; 0xff is the drive that the BIOS names) and the drive check
    (0x66; two no-ops on hard disks). In the core's first sector: the sector where its rest starts (0x1f4).
    Raises CommandFailed if the core is too large for its partition.
    """
    if len(core) > _ROOT_START - _BOOT_START:
        raise CommandFailed(
            f"grub-mkimage: the core has {len(core)} bytes, its partition {_ROOT_START - _BOOT_START}",
            "use fewer modules or a shorter configuration",
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
def _temporary_folder(destination: Path) -> Iterator[Path]:
    """Yield a temporary folder on the file system of `destination`."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=destination.parent, prefix=".base-") as folder:
        yield Path(folder)


def _hook(script: Path) -> str:
    """Return an mmdebstrap hook that runs `script` with sh: a wheel may lose the executable bit."""
    return f'sh {shlex.quote(str(script.resolve()))} "$1"'


def _uuid(digest: str, use: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"notebake {use} {digest}"))


def _check_size(tree: Path, size_mib: int) -> None:
    required = required_mib(tree)
    if size_mib < required:
        raise SpecError(
            f"size_mib: {size_mib} MiB is too small: this root filesystem requires {required} MiB",
            "increase size_mib in target.toml",
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
    argv: list[str | Path] = ["sfdisk", "--no-reread", "--no-tell-kernel", "--quiet", raw]
    process.run(argv, timeout=60, stdin=f"{table}\n".encode(), log=log)


def _fill(raw: Path, tree: Path, size_mib: int, digest: str, log: Path) -> None:
    kib = (size_mib * MIB - _TABLE_END - _ROOT_START) // 1024
    process.run(
        [
            "mke2fs",
            "-q",
            "-F",
            "-t", "ext4",
            "-m", "1",
            "-O", _EXT4_FEATURES,
            "-E", f"offset={_ROOT_START},hash_seed={_uuid(digest, 'directories')},lazy_itable_init=0",
            "-L", "root",
            "-U", _uuid(digest, "filesystem"),
            "-d", tree,
            raw,
            f"{kib}k",
        ],
        timeout=900,
        env={"E2FSPROGS_FAKE_TIME": str(int(tree.stat().st_mtime))},
        log=log,
    )  # fmt: skip
