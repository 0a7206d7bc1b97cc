"""Set-up steps of the operating system: settings, package sources, packages, the user."""

import pwd
import shutil
import subprocess
from pathlib import Path

import packages
from machine import run, write
from paths import GUEST, STATE

# The last one that useradd gives: before or after it, the administrator gets 1000.
UID = "60000"


def sources(config):
    """Write what is below root/ to its place below /: settings, and the package sources of the spec."""
    if config["own_sources"]:
        packages.disable_sources()
    root = GUEST / "root"
    for path in root.rglob("*"):
        if path.is_file():
            write(Path("/", path.relative_to(root)), path.read_bytes())


def upgrade():
    """Upgrade all packages where the machine has the script for that."""
    if (GUEST / "upgrade.sh").exists():
        packages.upgrade()


def programs(config):
    """Install the distribution packages of missing programs, and those of the spec; if none, do nothing."""
    missing = {package for program, package in config["programs"].items() if not shutil.which(program)}
    missing.update(config["os_packages"])
    # A power loss leaves programs of packages that are not wholly installed.
    begun = STATE / "installing"
    if begun.exists():
        missing.update(begun.read_text().split())
    if not missing:
        return
    missing = sorted(missing)
    write(begun, " ".join(missing))
    packages.install(missing)
    begun.unlink()


def user(config):
    """Create the user, unless it exists. No password, only the groups of a GPU, the same id everywhere."""
    try:
        pwd.getpwnam(config["user"])
    except KeyError:
        options = ["--create-home", "--user-group", "--uid", UID, "--shell", "/bin/bash"]
        run("useradd", *options, config["user"])
    for group in ("video", "render"):  # of /dev/dri and /dev/kfd
        subprocess.run(["gpasswd", "--add", config["user"], group], check=False)
    # These have new files of settings.
    units = ["ssh.service", "sshd.service", "systemd-sysctl.service"]
    subprocess.run(["systemctl", "--no-block", "try-reload-or-restart", *units], stderr=subprocess.DEVNULL)
