"""Validate user, computer and folder names against Windows' rules."""

from __future__ import annotations

import re

from notebake.errors import SpecError
from notebake.plan import preload
from notebake.plan.spec import Spec

USER_LENGTH = 20
COMPUTER_LENGTH = 15
# Device names are reserved with any extension. The others are accounts and groups on every Windows.
# https://learn.microsoft.com/windows/win32/fileio/naming-a-file
_PORTS = (f"{port}{n}" for port in ("com", "lpt") for n in "123456789¹²³")
_DEVICES = {"con", "prn", "aux", "nul", "conin$", "conout$", *_PORTS}
_ACCOUNTS = {
    "administrator", "administrators", "guest", "guests", "users", "system", "everyone", "network", "service",
    "defaultaccount", "wdagutilityaccount", "notebake", "none",
}  # fmt: skip
_FORBIDDEN = re.compile(r'[<>:"|?*\\\x00-\x1f]')


def check_spec(spec: Spec) -> None:
    """Raise SpecError if Windows rejects the user name or the notebook folder.

    Also if the spec asks for what only Linux has: a proxy, own software.
    """
    if not isinstance(spec.mirrors, str) and spec.mirrors.proxy:
        raise SpecError(
            "mirrors.proxy: not supported on Windows", "a golden image needs no package source when it starts"
        )
    image = spec.image
    if image.os_packages or image.run or image.files or image.fonts:
        raise SpecError(
            "image: os_packages, fonts, run and files are not supported on Windows",
            "keep a second notebake.toml for Windows, without them: --spec FILE",
        )
    if any(preload.is_url(entry) for entry in spec.notebook.preload):
        raise SpecError(
            "notebook.preload: URLs are not supported on Windows", "download it, and name the folder"
        )
    if spec.notebook.kernel_memory or spec.notebook.export:
        raise SpecError(
            "notebook: kernel_memory and export are not supported on Windows",
            "keep a second notebake.toml for Windows, without them: --spec FILE",
        )
    if spec.updates.at_first_boot:
        raise SpecError("updates.at_first_boot: not supported on Windows", "a bake installs its updates")
    user = spec.user
    if len(user) > USER_LENGTH or user in _DEVICES | _ACCOUNTS:
        raise SpecError(
            f"user {user!r}: not a valid Windows user name",
            f"use at most {USER_LENGTH} characters, and no built-in account or device name",
        )
    for field, name in [
        ("notebook.profile", spec.notebook.profile),
        *(("notebook.preload", path.rpartition("/")[2]) for path in spec.notebook.preload),
    ]:
        if _invalid(name):
            raise SpecError(f"{field} {name!r}: not a valid file name on Windows", "use another name")
    folder = spec.notebook.folder
    if folder.startswith("/") or any(map(_invalid, folder.split("/"))):
        raise SpecError(
            f"notebook.folder {folder!r}: not a valid folder on Windows",
            "use a path relative to the service's folder, with names that Windows allows",
        )


def _invalid(name: str) -> bool:
    """Return whether Windows has no such file or folder."""
    reserved = name.split(".")[0].rstrip(" ").lower() in _DEVICES
    return reserved or name.endswith((".", " ")) or _FORBIDDEN.search(name) is not None


def check_computer(name: str) -> None:
    """Raise SpecError for a computer name that Windows would cut or reject."""
    if len(name) > COMPUTER_LENGTH or name.isdigit() or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*", name):
        raise SpecError(
            f"host name {name!r}: not a valid Windows computer name",
            f"use 1 to {COMPUTER_LENGTH} letters, digits and `-`, not only digits",
        )
