"""What a bake of Windows needs of this computer and of the spec's [windows]: asked by bake and by doctor."""

from __future__ import annotations

import json
from pathlib import Path

from notebake import paths, process
from notebake.bake import windows_iso
from notebake.errors import MissingTool, SpecError
from notebake.files import sha256
from notebake.plan.spec import Windows
from notebake.plan.targets import WindowsMedia

FIRMWARE = Path("/usr/share/ovmf/OVMF.fd")


def is_url(iso_place: str) -> bool:
    """Whether the ISO is one that Packer fetches."""
    return iso_place.startswith(("http://", "https://"))


def check_medium(given: Windows, base: WindowsMedia, folder: Path) -> None:
    """SpecError for a missing or wrong ISO or digest, or an ISO without the wanted image.

    `folder` is the spec's. A URL is checked by Packer, against the same digest.
    """
    if given.iso is None or given.iso_sha256 is None:
        missing = "iso" if given.iso is None else "iso_sha256"
        raise SpecError(
            f"windows.{missing}: missing: a bake of Windows needs Microsoft's ISO and its SHA-256",
            'in notebake.toml: [windows] iso = "FILE or URL" and iso_sha256 = "...", as its publisher names it',
        )
    if is_url(given.iso):
        return
    path = folder / given.iso
    _check_digest("windows.iso", path, given.iso_sha256)
    windows_iso.check_image(path, base.image)


def check_drivers(given: Windows, folder: Path) -> Path:
    """The ISO of virtio-win. SpecError when it is missing or not the pinned release."""
    pin = json.loads((paths.data_folder("images") / "_shared/windows/settings.json").read_text())[
        "virtio_win"
    ]
    if given.virtio_win is None:
        raise SpecError(
            "windows.virtio_win: missing: on QEMU Windows finds no disk without its drivers",
            f"in notebake.toml: [windows] virtio_win = FILE, the ISO of virtio-win {pin['release']}",
        )
    path = folder / given.virtio_win
    _check_digest("windows.virtio_win", path, pin["sha256"])
    return path


def check_tools(base: WindowsMedia) -> None:
    """MissingTool for a program or the firmware that a Windows machine needs on QEMU."""
    for tool in ("packer", "qemu-img", "qemu-system-x86_64", "xorriso", *(["swtpm"] if base.tpm else [])):
        process.which(tool)
    if not FIRMWARE.exists():
        raise MissingTool(f"{FIRMWARE}: missing: Windows boots by UEFI", "apt-get install ovmf")


def _check_digest(field: str, path: Path, wanted: str) -> None:
    if not path.is_file():
        raise SpecError(f"{field}: {path}: no such file")
    found = sha256(path)
    if found != wanted:
        raise SpecError(
            f"{field}: {path}: SHA-256 is {found}, wanted is {wanted}",
            "the file is not whole or another release: fetch it again, or name its own digest",
        )
