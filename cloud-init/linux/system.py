"""Set-up steps of the operating system: packages, firewall, user, cloud-init, trusted certificates."""

import fcntl
import json
import pwd
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import proxy_bypass_environment

from machine import run, write
from paths import GUEST, HOME, STATE


def apt_proxy(config):
    """Return apt's settings for the proxy."""
    known = config["proxy"]
    schemes = [name for name in ("http", "https") if f"{name}_proxy" in known]
    lines = [f'Acquire::{name}::Proxy "{known[name + "_proxy"]}";' for name in schemes]
    # apt takes no domain: those of its own hosts that are in one.
    urls = re.findall(r"https?://\S+", " ".join(config["apt_sources"]))
    for host in sorted({urlsplit(url).hostname for url in urls}):
        if proxy_bypass_environment(host, {"no": known.get("no_proxy", "")}):
            lines += [f'Acquire::{name}::Proxy::{host} "DIRECT";' for name in schemes]
    return lines


def sources(config):
    """Write the proxy and the package sources that the spec names, in place of the distribution's own."""
    if config["proxy"] and config["family"] == "apt":
        write(Path("/etc/apt/apt.conf.d/90notebake-proxy"), "\n".join(apt_proxy(config)) + "\n")
    elif config["proxy"]:
        known = {"PROXY_ENABLED": "yes", **config["proxy"]}
        lines = [f'{name.upper()}="{value}"\n' for name, value in known.items()]
        write(Path("/etc/sysconfig/proxy"), "".join(lines))
    if config["apt_sources"]:
        write(Path("/etc/apt/sources.list"), "\n".join(config["apt_sources"]) + "\n")
        for name in ("debian", "ubuntu"):
            Path(f"/etc/apt/sources.list.d/{name}.sources").unlink(missing_ok=True)
    if config["zypper_repo"]:
        for kind in ("modifyservice", "modifyrepo"):
            run("zypper", "--non-interactive", kind, "--disable", "--all", ZYPP_LOCK_TIMEOUT="900")
        write(
            Path("/etc/zypp/repos.d/notebake.repo"),
            f"[notebake]\nname=notebake\nenabled=1\nautorefresh=1\nbaseurl={config['zypper_repo']}\n",
        )


def programs(config):
    """Install the distribution packages of missing programs; do nothing if all are present."""
    missing = {package for program, package in config["programs"].items() if not shutil.which(program)}
    # A power loss leaves programs of packages that are not wholly installed.
    begun = STATE / "installing"
    if begun.exists():
        missing.update(begun.read_text().split())
    if not missing:
        return
    missing = sorted(missing)
    write(begun, " ".join(missing))
    if config["family"] == "apt":
        options = ["-o", "DPkg::Lock::Timeout=900", "-o", "Acquire::Retries=3"]
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        # dpkg does not wait for its lock, which unattended upgrades may hold at a first boot.
        with open("/var/lib/dpkg/lock-frontend", "a") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX)
            run("dpkg", "--force-confold", "--configure", "-a", DPKG_FRONTEND_LOCKED="1", **quiet)
        run("apt-get", *options, "-q", "update", **quiet)
        run("apt-get", *options, "-qy", "--no-install-recommends", "install", *missing, **quiet)
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


def cloud(config):
    """Configure cloud-init in clones of a golden image as user-data does: keep user, locale and sources."""
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
