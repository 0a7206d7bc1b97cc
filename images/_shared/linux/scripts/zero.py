#!/usr/bin/env python3
"""Zero the free blocks that trimming leaves in a disk image, so that nothing that was deleted is in there.

The image drops whole clusters of 64 KiB, and the free space between files is in smaller pieces. A file takes
all free blocks without writing them, and both ends of each of its pieces are zeroed on the device; fstrim
drops the rest. For ext4 and xfs, whose files say where they are.
"""

import fcntl
import os
import struct
import sys
from pathlib import Path

_EXTENTS = 500
_FIEMAP = 0xC020660B  # linux/fiemap.h
_LAST = 1
_CLUSTER = 1 << 16  # of qcow2
_STEP = 1 << 30


def mounted(folder):
    """Return the type and the device of the file system with `folder`; two empty texts if it has none."""
    number = Path(folder).stat().st_dev
    rows = [row.split() for row in Path("/proc/self/mountinfo").read_text("utf-8").splitlines()]
    device = f"{os.major(number)}:{os.minor(number)}"
    return next((row[row.index("-") + 1 :][:2] for row in rows if row[2] == device), ("", ""))


def fill(file):
    """Give the file all free blocks; return its size in bytes."""
    size, step = 0, _STEP
    while step >= 512:
        try:
            os.posix_fallocate(file, size, step)
            size += step
        except OSError:  # no space left
            step //= 2
    return size


def extents(file):
    """Yield (offset on the device, bytes) of each piece of the file."""
    start, last = 0, False
    while not last:
        request = bytearray(32 + 56 * _EXTENTS)
        struct.pack_into("=QQIIII", request, 0, start, 1 << 62, 0, 0, _EXTENTS, 0)
        fcntl.ioctl(file, _FIEMAP, request)
        (found,) = struct.unpack_from("=I", request, 20)
        last = not found
        for number in range(found):
            logical, physical, length, _, _, flags = struct.unpack_from("=QQQQQI", request, 32 + 56 * number)
            start, last = logical + length, flags & _LAST
            yield physical, length


def main(folder):
    kind, source = mounted(folder)
    # A container has the host's file system, and no device.
    if kind not in ("ext4", "xfs") or not Path(source).is_block_device():
        return
    # ext4 keeps some blocks for itself, also from root.
    kept = Path("/sys/fs/ext4") / Path(source).resolve().name / "reserved_clusters"
    if kept.exists():
        kept.write_text("0", "ascii")
    path = Path(folder) / ".zero"
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        path.unlink()
        fill(file)
        os.fsync(file)
        device = os.open(source, os.O_RDWR)
        for offset, length in extents(file):
            # What is between them is whole clusters.
            for start in {offset, offset + max(0, length - _CLUSTER)}:
                os.pwrite(device, bytes(min(length, _CLUSTER)), start)
        os.fsync(device)
    finally:
        os.close(file)


if __name__ == "__main__":
    main(sys.argv[1])
