"""What Windows refuses as a user, a computer's name or a folder."""

from __future__ import annotations

import re

from notebake.errors import SpecError
from notebake.plan.spec import Spec

USER_LENGTH = 20
COMPUTER_LENGTH = 15
# Device names are reserved with any extension; the rest are accounts and groups that every Windows has.
# https://learn.microsoft.com/windows/win32/fileio/naming-a-file
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}
_ACCOUNTS = {
    "administrator", "administrators", "guest", "guests", "users", "system", "everyone", "network", "service",
    "defaultaccount", "wdagutilityaccount", "notebake", "none",
}  # fmt: skip
_FORBIDDEN = re.compile(r'[<>:"|?*\\\x00-\x1f]')


def check_spec(spec: Spec) -> None:
    """SpecError for a user or a folder of notebooks that Windows refuses."""
    user = spec.user
    if len(user) > USER_LENGTH or user in _DEVICES | _ACCOUNTS:
        raise SpecError(
            f"user {user!r}: Windows refuses this name",
            f"at most {USER_LENGTH} characters, and no built-in account or device name",
        )
    folder = spec.notebook.folder
    wrong = [
        part for part in folder.split("/")
        if part.split(".")[0].lower() in _DEVICES or part.endswith((".", " ")) or _FORBIDDEN.search(part)
    ]  # fmt: skip
    if folder.startswith("/") or wrong:
        raise SpecError(
            f"notebook.folder {folder!r}: Windows has no such folder",
            "a relative folder, which comes into the service's own, of names that Windows takes",
        )


def check_computer(name: str) -> None:
    """SpecError for a computer name that Windows would cut or refuse."""
    if len(name) > COMPUTER_LENGTH or name.isdigit() or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*", name):
        raise SpecError(
            f"host name {name!r}: Windows refuses this computer name",
            f"1 to {COMPUTER_LENGTH} letters, digits and `-`, not digits alone",
        )
