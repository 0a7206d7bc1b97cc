"""Check what a bake of Windows needs on the host and in the spec's [windows]; for bake and doctor."""

from __future__ import annotations

from pathlib import Path

from notebake import documents, paths, process
from notebake.bake import windows_iso
from notebake.errors import MissingTool, SpecError
from notebake.files import sha256
from notebake.plan.spec import Windows
from notebake.plan.targets import WindowsMedia

FIRMWARE = Path("/usr/share/ovmf/OVMF.fd")


def is_url(iso: str) -> bool:
    """Return whether Packer downloads the ISO."""
    return iso.startswith(("http://", "https://"))


def check_medium(given: Windows, base: WindowsMedia, folder: Path) -> None:
    """Raise SpecError for a missing or wrong ISO or digest, or an ISO without the target's image.

    `folder` is the spec's. Packer checks a URL against the same digest.
    """
    if given.iso is None or given.iso_sha256 is None:
        missing = "iso" if given.iso is None else "iso_sha256"
        raise SpecError(
            f"windows.{missing}: not set: baking Windows needs Microsoft's ISO and its SHA-256",
            'in notebake.toml: [windows] iso = "FILE or URL" and iso_sha256 = "...", '
            "as Microsoft publishes it",
        )
    if is_url(given.iso):
        return
    path = folder / given.iso
    _check_digest("windows.iso", path, given.iso_sha256)
    windows_iso.check_image(path, base.image)


def check_drivers(given: Windows, folder: Path) -> Path:
    """Return the path of the virtio-win ISO. Raises SpecError when it is missing or another release."""
    pin = documents.load_json(paths.data_folder("images") / "_shared/windows/settings.json")["virtio_win"]
    if given.virtio_win is None:
        raise SpecError(
            "windows.virtio_win: not set: Windows on QEMU needs the virtio-win drivers to see its disk",
            f"in notebake.toml: [windows] virtio_win = FILE, the ISO of virtio-win {pin['release']}",
        )
    path = folder / given.virtio_win
    _check_digest("windows.virtio_win", path, pin["sha256"])
    return path


def check_tools(base: WindowsMedia) -> None:
    """Raise MissingTool for a program or firmware that Windows needs on QEMU."""
    for tool in ("packer", "qemu-img", "qemu-system-x86_64", "xorriso", *(["swtpm"] if base.tpm else [])):
        process.which(tool)
    if not FIRMWARE.exists():
        raise MissingTool(f"{FIRMWARE}: no such file: Windows boots by UEFI", "apt-get install ovmf")


def _check_digest(field: str, path: Path, expected: str) -> None:
    if not path.is_file():
        raise SpecError(f"{field}: {path}: no such file")
    digest = sha256(path)
    if digest != expected:
        raise SpecError(
            f"{field}: {path}: SHA-256 is {digest}, expected {expected}",
            "the file is incomplete or another release: download it again, or correct the digest",
        )
