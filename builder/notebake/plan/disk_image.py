"""Check the header of a disk image: only qcow2 that needs no other file is taken."""

from __future__ import annotations

import struct
from pathlib import Path

from notebake.errors import SpecError

_MAGIC = b"QFI\xfb"
_EXTERNAL_DATA = 1 << 2


def check(path: Path, field: str) -> None:
    """Raise SpecError for a file that is not a whole qcow2 image. OSError if it cannot be read.

    The numbers are those of QEMU's docs/interop/qcow2.rst. An image that names another file would read that
    file of this host.
    """
    with open(path, "rb") as file:
        header = file.read(80)
    if len(header) < 72 or header[:4] != _MAGIC:
        raise SpecError(
            f"{field}: {path}: not a qcow2 image",
            "unpack it if it is compressed; `qemu-img convert -O qcow2 IMAGE NEW` converts other formats",
        )
    version, backing = struct.unpack(">IQ", header[4:16])
    features = int.from_bytes(header[72:80], "big") if version >= 3 else 0
    if backing or features & _EXTERNAL_DATA:
        raise SpecError(
            f"{field}: {path}: needs another image file",
            "`qemu-img convert -O qcow2 IMAGE NEW` makes one image of both",
        )
    (clusters,) = struct.unpack(">Q", header[40:48])
    if path.stat().st_size <= clusters:
        raise SpecError(f"{field}: {path}: is not whole: its end is missing", "copy or download it again")
