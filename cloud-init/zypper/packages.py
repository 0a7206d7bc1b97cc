"""The distribution's packages by zypper."""

from pathlib import Path

from machine import run
from paths import GUEST

CA_FOLDER = Path("/etc/pki/trust/anchors")
LOCK = {"ZYPP_LOCK_TIMEOUT": "900"}


def disable_sources():
    """Disable the release's own package sources, which those of the spec replace."""
    for kind in ("modifyservice", "modifyrepo"):
        run("zypper", "--non-interactive", kind, "--disable", "--all", **LOCK)


def upgrade():
    """Upgrade all packages."""
    run("sh", GUEST / "upgrade.sh", "zypper")


def install(packages):
    """Install packages."""
    run("zypper", "--non-interactive", "install", "--no-recommends", *packages, **LOCK)
