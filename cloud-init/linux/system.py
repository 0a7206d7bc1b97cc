"""Set-up steps of the operating system: packages, firewall, user, cloud-init, trusted certificates."""

import fcntl
import pwd
import shutil
import subprocess
from pathlib import Path

from machine import run, write
from paths import GUEST, HOME, STATE

QUIET = {"DEBIAN_FRONTEND": "noninteractive"}


def sources(config):
    """Write what is below root/ to its place below /: settings, and the package sources of the spec."""
    if config["zypper_repo"]:
        for kind in ("modifyservice", "modifyrepo"):
            run("zypper", "--non-interactive", kind, "--disable", "--all", ZYPP_LOCK_TIMEOUT="900")
    root = GUEST / "root"
    for path in root.rglob("*"):
        if path.is_file():
            write(Path("/", path.relative_to(root)), path.read_bytes())
    if config["apt_mirror"]:
        for name in ("debian", "ubuntu"):
            Path(f"/etc/apt/sources.list.d/{name}.sources").unlink(missing_ok=True)


def configure():
    """Finish what a power loss interrupted in dpkg."""
    # dpkg does not wait for its lock, which unattended upgrades may hold at a first boot.
    with open("/var/lib/dpkg/lock-frontend", "a") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        run("dpkg", "--force-confold", "--configure", "-a", DPKG_FRONTEND_LOCKED="1", **QUIET)


def upgrade(config):
    """Upgrade all packages where the machine has the script for that."""
    if (GUEST / "upgrade.sh").exists():
        if config["family"] == "apt":
            configure()
        run("sh", GUEST / "upgrade.sh", config["family"])


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
    if config["family"] == "apt":
        configure()
        run("apt-get", "-q", "update", **QUIET)
        run("apt-get", "-qy", "--no-install-recommends", "install", *missing, **QUIET)
    else:
        install = ["install", "--no-recommends", *missing]
        run("zypper", "--non-interactive", *install, ZYPP_LOCK_TIMEOUT="900")
    begun.unlink()


def firewall(config):
    """Allow ssh and the notebook's port, nothing else."""
    port = config["port"]
    if config["firewall"] == "nftables":
        rules = (GUEST / "firewall.nft").read_text().replace("@port@", str(port))
        write(Path("/etc/nftables.conf"), rules, 0o755)
        run("systemctl", "enable", "nftables.service")
        run("systemctl", "restart", "nftables.service")
    elif config["firewall"] == "ufw":
        for rule in ("22/tcp", f"{port}/tcp"):
            run("ufw", "allow", rule)
        run("ufw", "--force", "enable")
    else:
        run("systemctl", "enable", "--now", "firewalld.service")
        run("firewall-cmd", "--permanent", "--zone=public", "--add-service=ssh")
        run("firewall-cmd", "--permanent", "--zone=public", f"--add-port={port}/tcp")
        run("firewall-cmd", "--reload")


def user(config):
    """Create the user, unless it exists."""
    try:
        pwd.getpwnam(config["user"])
    except KeyError:
        run("useradd", "--create-home", "--user-group", "--shell", "/bin/bash", config["user"])


def labels(config):
    """With SELinux (openSUSE): label the files, and the notebook's port as a web server's."""
    if not shutil.which("selinuxenabled") or subprocess.run(["selinuxenabled"]).returncode:
        return
    if shutil.which("restorecon"):
        run("restorecon", "-R", str(HOME), str(STATE), "/etc/systemd/system", "/etc/jupyter")
    if shutil.which("semanage"):
        port = ["-t", "http_port_t", "-p", "tcp", str(config["port"])]
        # `--add` fails for a port that the policy has labelled, as it has 9999.
        if subprocess.run(["semanage", "port", "-a", *port]).returncode:
            run("semanage", "port", "-m", *port)


def trust(config):
    """Install the extra CA certificates system-wide."""
    if (GUEST / "ca.pem").exists():
        apt = config["family"] == "apt"
        folder = Path("/usr/local/share/ca-certificates" if apt else "/etc/pki/trust/anchors")
        pems = (GUEST / "ca.pem").read_text().split("-----BEGIN CERTIFICATE-----")[1:]
        bundle = Path("/etc/ssl/certs/ca-certificates.crt")  # written last
        if bundle.exists() and all(pem in bundle.read_text() for pem in pems):
            return
        for number, pem in enumerate(pems, 1):
            write(folder / f"notebake-{number}.crt", "-----BEGIN CERTIFICATE-----" + pem)
        run("update-ca-certificates")
