"""Who may read what: icacls, with inheritance cut, so that nobody else gets in from a folder above."""

import subprocess

from paths import ACCOUNT

# Well-known SIDs: the names of these accounts differ by the language of Windows.
SYSTEM = "*S-1-5-18"
ADMINISTRATORS = "*S-1-5-32-544"
READ, MODIFY, FULL = "RX", "M", "F"


def command(path, right, folder):
    """The icacls call that leaves `path` to SYSTEM, administrators and, with `right`, to the service.

    Of a `folder`, what is made in it later has the same rights.
    """
    inherit = "(OI)(CI)" if folder else ""
    grants = [f"{SYSTEM}:{inherit}{FULL}", f"{ADMINISTRATORS}:{inherit}{FULL}", f"{ACCOUNT}:{inherit}{right}"]
    return ["icacls.exe", str(path), "/inheritance:r", "/grant:r", *grants, "/q"]


def only_service(path, right):
    """Let nobody but administrators and the service at `path`; CalledProcessError when Windows refuses."""
    argv = command(path, right, path.is_dir())
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
