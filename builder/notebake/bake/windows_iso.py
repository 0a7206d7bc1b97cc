"""Microsoft's ISO: the images in its install.wim, read without unpacking it.

Layout of a WIM's header: 8 bytes `MSWIM\\0\\0\\0`; at byte 72 the place of the XML as 7 bytes of length, one
of flags, 8 bytes of offset, 8 of original length. The XML is UTF-16 with a byte order mark, one IMAGE each.
(Microsoft, "Windows Imaging File Format (WIM)".)
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

from notebake.errors import SpecError

_PATHS = ("/sources/install.wim", "/sources/install.esd")
_MAGIC = b"MSWIM\0\0\0"
_XML_AT = 72


def _names(wim: IO[bytes]) -> list[str]:
    header = wim.read(_XML_AT + 24)
    if not header.startswith(_MAGIC) or len(header) < _XML_AT + 24:
        raise ValueError("no WIM")
    length, offset, _ = struct.unpack_from("<QQQ", header, _XML_AT)
    wim.seek(offset)
    root = ElementTree.fromstring(wim.read(length & (1 << 56) - 1).decode("utf-16"))
    return [image.findtext("NAME", "") for image in root.iter("IMAGE")]


def images(path: Path) -> list[str]:
    """Return the names of the images in the ISO at `path`, by index. Raises SpecError for another ISO."""
    import pycdlib
    from pycdlib.pycdlibexception import PyCdlibException

    volume = pycdlib.PyCdlib()
    try:
        volume.open(str(path))
        try:
            where = "udf_path" if volume.has_udf() else "joliet_path"
            for name in _PATHS:
                try:
                    with volume.open_file_from_iso(**{where: name}) as wim:
                        return _names(wim)
                except PyCdlibException:
                    continue
        finally:
            volume.close()
    except (PyCdlibException, OSError, ValueError, struct.error, ElementTree.ParseError) as error:
        raise SpecError(f"windows.iso: {path}: not a Windows ISO: {error}") from None
    raise SpecError(
        f"windows.iso: {path}: no {' or '.join(_PATHS)} in it",
        "use an installation ISO of Windows Server",
    )


def check_image(path: Path, name: str) -> None:
    """Raise SpecError, which lists the images, when the ISO at `path` has no image called `name`."""
    found = images(path)
    if name not in found:
        raise SpecError(
            f"windows.iso: {path}: has no image {name!r}", f"its images are: {', '.join(found) or 'none'}"
        )
