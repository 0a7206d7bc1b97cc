"""The distribution's packages by apt."""

import fcntl
from pathlib import Path

from machine import run
from paths import GUEST

CA_FOLDER = Path("/usr/local/share/ca-certificates")
QUIET = {"DEBIAN_FRONTEND": "noninteractive"}


def disable_sources():
    """Remove the release's own package sources, which those of the spec replace."""
    for name in ("debian", "ubuntu"):
        Path(f"/etc/apt/sources.list.d/{name}.sources").unlink(missing_ok=True)


def configure():
    """Finish what a power loss interrupted in dpkg."""
    # dpkg does not wait for its lock, which unattended upgrades may hold at a first boot.
    with open("/var/lib/dpkg/lock-frontend", "a") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        run("dpkg", "--force-confold", "--configure", "-a", DPKG_FRONTEND_LOCKED="1", **QUIET)


def upgrade():
    """Upgrade all packages."""
    configure()
    run("sh", GUEST / "upgrade.sh", "apt")


def install(packages):
    """Install packages."""
    configure()
    run("apt-get", "-q", "update", **QUIET)
    run("apt-get", "-qy", "--no-install-recommends", "install", *packages, **QUIET)
