"""File permissions by icacls, without inheritance: a folder above must not give access to others."""

import subprocess

from paths import ACCOUNT

# Well-known SIDs: the names of these accounts differ by the language of Windows.
SYSTEM = "*S-1-5-18"
ADMINISTRATORS = "*S-1-5-32-544"
READ, MODIFY, FULL = "RX", "M", "F"


def command(path, right, folder):
    """Return the icacls call that gives SYSTEM and administrators full control, and the service `right`.

    Files and folders that are later made in a `folder` inherit the same permissions.
    """
    inherit = "(OI)(CI)" if folder else ""
    grants = [f"{SYSTEM}:{inherit}{FULL}", f"{ADMINISTRATORS}:{inherit}{FULL}", f"{ACCOUNT}:{inherit}{right}"]
    return ["icacls.exe", str(path), "/inheritance:r", "/grant:r", *grants, "/q"]


def only_service(path, right):
    """Give access to `path` only to administrators and the service. CalledProcessError if icacls fails."""
    argv = command(path, right, path.is_dir())
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
