"""Set-up steps of the operating system: packages, firewall, user, cloud-init, trusted certificates."""

import fcntl
import json
import pwd
import shutil
import subprocess
from pathlib import Path

from machine import run, write
from paths import CA_BUNDLE, GUEST, HOME, STATE


def programs(config):
    """Install the distribution packages of missing programs; do nothing if all are present."""
    needed = config["programs"].items()
    missing = sorted({package for program, package in needed if not shutil.which(program)})
    if not missing:
        return
    sources = Path("/run/notebake")
    sources.mkdir(exist_ok=True)
    if config["family"] == "apt":
        options = ["-o", "DPkg::Lock::Timeout=900", "-o", "Acquire::Retries=3"]
        if config["apt_mirror"]:
            release = dict(
                line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line
            )
            (sources / "sources.list").write_text(
                f"deb {config['apt_mirror']} {release['VERSION_CODENAME'].strip(chr(34))} main\n"
            )
            options += ["-o", f"Dir::Etc::SourceList={sources}/sources.list", "-o", "Dir::Etc::SourceParts=-"]
        if CA_BUNDLE.exists():
            options += ["-o", f"Acquire::https::CAInfo={CA_BUNDLE}"]
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        # dpkg does not wait for its lock, which unattended upgrades may hold at a first boot.
        with open("/var/lib/dpkg/lock-frontend", "a") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX)
            run("dpkg", "--force-confold", "--configure", "-a", DPKG_FRONTEND_LOCKED="1", **quiet)
        run("apt-get", *options, "-q", "update", **quiet)
        run("apt-get", *options, "-qy", "--no-install-recommends", "install", *missing, **quiet)
    else:
        options = ["--non-interactive"]
        if config["zypper_repo"]:
            (sources / "notebake.repo").write_text(
                f"[notebake]\nname=notebake\nenabled=1\nautorefresh=1\nbaseurl={config['zypper_repo']}\n"
            )
            options += ["--reposd-dir", str(sources)]
        run("zypper", *options, "install", "--no-recommends", *missing, ZYPP_LOCK_TIMEOUT="900")


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


def cloud(config):
    """Configure cloud-init in clones of a golden image as user-data does: user, locale, mirrors."""
    write(Path("/etc/cloud/cloud.cfg.d/90-notebake.cfg"), json.dumps(config["cloud"]) + "\n")


def trust(config):
    """Install the extra CA certificates system-wide."""
    if (GUEST / "ca.pem").exists():
        apt = config["family"] == "apt"
        folder = Path("/usr/local/share/ca-certificates" if apt else "/etc/pki/trust/anchors")
        pems = (GUEST / "ca.pem").read_text().split("-----BEGIN CERTIFICATE-----")[1:]
        for number, pem in enumerate(pems, 1):
            write(folder / f"notebake-{number}.crt", "-----BEGIN CERTIFICATE-----" + pem)
        run("update-ca-certificates")
