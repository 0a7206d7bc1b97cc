"""What this computer must have for which command, and the one command that installs what is missing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from notebake import accelerator, process
from notebake.bake import windows_media
from notebake.errors import NotebakeError, SpecError
from notebake.plan import targets
from notebake.plan.spec import Windows
from notebake.plan.targets import WindowsMedia

# program, what needs it, Debian's package
_PROGRAMS = (
    ("packer", "bake", "packer"),
    ("qemu-system-x86_64", "bake, launch on qemu", "qemu-system-x86"),
    ("qemu-img", "bake, launch on qemu", "qemu-utils"),
    ("xorriso", "bake", "xorriso"),
    ("gpgv", "the Ubuntu and openSUSE bases", "gpgv"),
    ("mmdebstrap", "the debian-13 base", "mmdebstrap"),
    ("mke2fs", "the debian-13 base", "e2fsprogs"),
    ("debugfs", "launch of an image on nspawn", "e2fsprogs"),
    ("sfdisk", "the debian-13 base", "fdisk"),
    ("grub-mkimage", "the debian-13 base", "grub-common"),
    ("zstd", "the debian-13 base", "zstd"),
    ("systemd-nspawn", "launch on nspawn", "systemd-container"),
    ("ip", "launch on nspawn", "iproute2"),
    ("nft", "launch on nspawn", "nftables"),
    ("ssh", "ssh, probe", "openssh-client"),
    ("chromium", "probe --browser", "chromium"),
)
_FILES = (
    ("/usr/lib/grub/i386-pc/boot.img", "the debian-13 base", "grub-pc-bin"),
    ("/usr/share/keyrings/debian-archive-trixie-stable.gpg", "the debian-13 base", "debian-archive-keyring"),
)
_FREE_GIB = 8


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing looked at. `mend` is a shell command; None where there is none or nothing to mend."""

    what: str
    needed_for: str
    ok: bool
    detail: str
    package: str | None = None


def examine(cache: Path) -> list[Finding]:
    """Every finding, the good ones too; starts no program but `qemu-system-x86_64 --version`."""
    found = []
    for program, use, package in _PROGRAMS:
        try:
            found.append(Finding(what=program, needed_for=use, ok=True, detail=str(process.which(program))))
        except NotebakeError:
            found.append(
                Finding(what=program, needed_for=use, ok=False, detail="not installed", package=package)
            )
    for path, use, package in _FILES:
        ok = Path(path).exists()
        found.append(
            Finding(
                what=path,
                needed_for=use,
                ok=ok,
                detail="there" if ok else "missing",
                package=None if ok else package,
            )
        )
    root = os.geteuid() == 0
    found.append(
        Finding(what="root", needed_for="the debian-13 base, launch on nspawn", ok=root,
                detail="yes" if root else "no: use sudo for these")
    )  # fmt: skip
    free = shutil.disk_usage(cache).free / 2**30
    found.append(
        Finding(what="disk space", needed_for="bake", ok=free >= _FREE_GIB,
                detail=f"{free:.0f} GiB free at {cache}, {_FREE_GIB} wanted")
    )  # fmt: skip
    if process.has("qemu-system-x86_64"):
        try:
            chosen = accelerator.choose("auto")
            detail = "kvm" if chosen.name == "kvm" else "tcg: emulated, a boot takes a minute or more"
            found.append(Finding(what="acceleration", needed_for="qemu", ok=True, detail=detail))
        except NotebakeError as error:
            detail = f"{error.message} ({error.hint})"
            found.append(Finding(what="acceleration", needed_for="qemu", ok=False, detail=detail))
    return found


def examine_windows(given: Windows, folder: Path) -> list[Finding]:
    """What a bake of Windows needs, for a spec (in `folder`) whose [windows] names an ISO; else nothing.

    Reads the ISOs whole, for their SHA-256.
    """
    if given.iso is None and given.virtio_win is None:
        return []
    bases = [item.base for item in targets.all_targets() if isinstance(item.base, WindowsMedia)]

    def medium() -> None:
        # The ISO is one release's: that of any Windows target will do.
        errors = []
        for base in bases:
            try:
                return windows_media.check_medium(given, base, folder)
            except SpecError as error:
                errors.append(error)
        raise errors[0]

    def tools() -> None:
        for base in bases:
            windows_media.check_tools(base)

    looks: dict[str, Callable[[], object]] = {
        "Windows ISO": medium,
        "virtio-win ISO": lambda: windows_media.check_drivers(given, folder),
        "Windows on QEMU": tools,
    }
    found = []
    for what, look in looks.items():
        try:
            look()
            found.append(Finding(what=what, needed_for="bake of Windows", ok=True, detail="as it should be"))
        except NotebakeError as error:
            found.append(Finding(what=what, needed_for="bake of Windows", ok=False, detail=error.message))
    return found


def mend(findings: list[Finding]) -> str | None:
    """The one command that installs every missing package; None when none is missing."""
    packages = sorted({item.package for item in findings if item.package and not item.ok})
    if not packages:
        return None
    sudo = "" if os.geteuid() == 0 else "sudo "
    return f"{sudo}apt-get install -y --no-install-recommends {' '.join(packages)}"
