"""Convert a golden image to the format that a cloud imports, and write the commands that import it.

The image boots by BIOS, so that is what the commands ask for: nothing in them needs UEFI.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from notebake import process, scratch, templates
from notebake.documents import parse_json
from notebake.errors import CommandFailed, SpecError
from notebake.files import unwritable
from notebake.plan import disk_image, targets
from notebake.progress import Steps
from notebake.record import record

_SECTOR, _MIB, _GIB = 1 << 9, 1 << 20, 1 << 30
_FULL = 16 * _MIB  # free bytes of a disk on which nothing more fits


@dataclass(frozen=True, kw_only=True)
class Format:
    """A disk as a cloud imports it.

    `options`: those of `qemu-img convert`. `unit`: the disk's size is a multiple of so many bytes.
    """

    suffix: str
    options: tuple[str, ...]
    unit: int = _SECTOR


FORMATS = {
    # https://learn.microsoft.com/azure/virtual-machines/linux/create-upload-generic
    "azure": Format(suffix=".vhd", options=("-O", "vpc", "-o", "subformat=fixed,force_size"), unit=_MIB),
    # https://docs.aws.amazon.com/vm-import/latest/userguide/prerequisites.html: with compression, unlike raw
    "aws": Format(
        suffix=".vmdk",
        options=("-O", "vmdk", "-o", "subformat=streamOptimized,adapter_type=lsilogic,compat6"),
    ),
    # https://cloud.google.com/compute/docs/import/import-existing-image
    "gcp": Format(suffix=".tar.gz", options=("-O", "raw"), unit=_GIB),
    # Compressed by zlib: QEMU before 5.1 does not read zstd.
    "openstack": Format(suffix=".qcow2", options=("-c", "-O", "qcow2")),
    "raw": Format(suffix=".raw", options=("-O", "raw")),
}


@dataclass(frozen=True, kw_only=True)
class Exported:
    """The files of an export. `commands`: a shell script that imports the disk; None for raw."""

    disk: Path
    commands: Path | None


def export(image: Path, cloud: str, folder: Path, steps: Steps, *, force: bool = False) -> Exported:
    """Write `image`, which is verified by the record beside it, to `folder` for `cloud`, one of FORMATS.

    The disk has the image's mode. Raises SpecError for an image that cannot be exported and for a file that
    exists, unless `force`; RecordError, MissingTool, CommandFailed. Nothing is written then.
    """
    wanted = FORMATS[cloud]
    for tool in ("qemu-img", *(("tar", "gzip") if cloud == "gcp" else ())):
        process.which(tool)
    with steps.step("verify the image"):
        known = record.verified(image)
        disk_image.check(image, "IMAGE")
    if cloud != "raw" and targets.get(known.target).is_windows:
        raise SpecError(
            f"{image}: notebake cannot export Windows images to clouds",
            "bake it there: `notebake render` with --builder writes the Packer template",
        )
    name = f"{known.target}-{known.version or known.content_id[:12]}"
    disk = folder.resolve() / f"{name}{wanted.suffix}"
    commands = None if cloud == "raw" else folder.resolve() / f"{name}.{cloud}.sh"
    _check(disk, commands, image, force=force)
    try:
        with scratch.folder(folder, name) as work:
            try:
                made, size = _convert(image.resolve(), wanted, work, steps)
                if cloud == "gcp":
                    made = _archive(made, work, steps)
            except CommandFailed:
                # qemu-img calls a full disk "Invalid argument" when it writes a VMDK.
                if shutil.disk_usage(work).free < _FULL:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from None
                raise
            shutil.copymode(image, made)
            if commands is None:
                made.replace(disk)
            else:
                script = work / commands.name
                script.write_bytes(
                    templates.render(
                        f"{cloud}.sh.j2",
                        path=str(disk),
                        file=disk.name,
                        title=name,
                        slug=name.replace(".", "-"),  # Google Cloud allows no dots
                        bytes=made.stat().st_size,
                        gib=-(-size // _GIB),
                    )
                )
                made.replace(disk)
                script.replace(commands)
    except OSError as error:
        raise unwritable(folder, error) from None
    return Exported(disk=disk, commands=commands)


def _check(disk: Path, commands: Path | None, image: Path, *, force: bool) -> None:
    """Raise SpecError unless the files may be written, and the script can name the disk."""
    hint = "choose another --output"
    if disk == image.resolve():
        raise SpecError(f"{disk}: this is the image itself", hint)
    try:
        str(disk).encode()
    except UnicodeEncodeError:
        raise SpecError(f"{disk}: the name of the folder is not UTF-8", hint) from None
    for path in (disk, commands):
        if path is not None and path.exists() and not force:
            raise SpecError(f"{path}: already exists", f"use --force to replace it, or {hint}")


def _convert(image: Path, wanted: Format, work: Path, steps: Steps) -> tuple[Path, int]:
    """Return the converted disk in `work`, and its size in bytes as a machine sees it."""
    info = parse_json(_run(["qemu-img", "info", "--output=json", "-f", "qcow2", image]))
    size = -(-int(info["virtual-size"]) // wanted.unit) * wanted.unit
    # It has the size, and its data is the image's.
    grown, made = work / "grown.qcow2", work / "disk.raw"
    with steps.step("convert the disk"):
        _run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", image, grown, str(size)])
        _run(["qemu-img", "convert", "-f", "qcow2", *wanted.options, grown, made])
    return made, size


def _archive(disk: Path, work: Path, steps: Steps) -> Path:
    """Return the archive that Google Cloud imports: it holds `disk.raw` only, in tar's old GNU format."""
    archive = work / "disk.tar.gz"
    with steps.step("compress"):
        owner = ("--owner=root:0", "--group=root:0")
        _run(["tar", "--format=oldgnu", "-S", *owner, "-czf", archive, "-C", work, disk.name])
    return archive


def _run(argv: Sequence[str | Path]) -> bytes:
    """Run a program whose messages are to be in English; return its output. It takes as long as it takes."""
    return process.run(argv, timeout=None, env={"LC_ALL": "C"}).stdout
