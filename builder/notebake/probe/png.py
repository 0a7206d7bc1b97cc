"""Check that bytes are a complete PNG that is not blank. Format: W3C "PNG Specification", 3rd edition."""

from __future__ import annotations

import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"

# Samples per pixel, by colour type.
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def size(data: bytes) -> tuple[int, int]:
    """Return the width and height in pixels of a PNG without interlacing.

    The CRC of every chunk is checked and all pixels are decompressed. Raises ValueError if it is not such a
    PNG, is truncated or has only one colour.
    """
    if not data.startswith(SIGNATURE):
        raise ValueError("no PNG signature")
    header, pixels, at, ended = b"", b"", len(SIGNATURE), False
    while not ended:
        if at + 12 > len(data):
            raise ValueError("truncated")
        length, kind = struct.unpack_from(">I4s", data, at)
        body, check = data[at + 8 : at + 8 + length], data[at + 8 + length : at + 12 + length]
        if len(check) != 4 or struct.pack(">I", zlib.crc32(kind + body)) != check:
            raise ValueError(f"chunk {kind!r} is damaged")
        if kind == b"IHDR":
            header = body
        elif kind == b"IDAT":
            pixels += body
        ended, at = kind == b"IEND", at + 12 + length
    if len(header) != 13:
        raise ValueError("no header")
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    if colour not in _SAMPLES or interlaced or not 0 < width <= 20000 or not 0 < height <= 20000:
        raise ValueError(f"{width} x {height}, colour type {colour}, interlace {interlaced}")
    row = (width * _SAMPLES[colour] * depth + 7) // 8 + 1
    try:
        # At most one byte more than expected: enough to detect too many, and safe against a bomb.
        raw = zlib.decompressobj().decompress(pixels, row * height + 1)
    except zlib.error as error:
        raise ValueError(f"the pixels do not decompress: {error}") from None
    if len(raw) != row * height:
        raise ValueError(f"{len(raw)} bytes of pixels, {row * height} expected")
    # If a picture has one colour, the filtered rows after the first are all the same.
    if len({raw[at : at + row] for at in range(row, len(raw), row)}) <= 2:
        raise ValueError("it is blank")
    return width, height
