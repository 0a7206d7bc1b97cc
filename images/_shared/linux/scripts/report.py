#!/usr/bin/env python3
"""Print the software inventory of this machine as JSON: packages, units, ports, users, firewall and more.

Runs under Packer as root before the machine is sealed, with the distribution's Python and no packages.
`notebake.record.software` reads it. The build user and its files are left out. With --disk it runs on the
host, in the root filesystem that the machine will boot from, and leaves out what only a running machine has;
that machine then adds it to the host's inventory.
"""

import json
import os
import pwd
import re
import shutil
import socket
import stat
import struct
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

ENVIRONMENT = Path("/opt/notebake/env")
BUILD_USER = "notebake-build"
# From here on the kernel gives ports to clients (net.ipv4.ip_local_port_range).
EPHEMERAL = 32768
HOST = Path("/var/tmp/notebake-software.json")
LISTENING = {"tcp": "0A", "udp": "07"}


def run(*argv):
    """Return a program's output; "" if it is not installed. CalledProcessError if it fails."""
    if shutil.which(argv[0]) is None:
        return ""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True, text=True)
    return done.stdout


def system():
    release = {}
    for line in Path("/etc/os-release").read_text("utf-8").splitlines():
        name, _, value = line.partition("=")
        release[name] = value.strip("\"'")
    # Not by the installed programs: openSUSE has dpkg too.
    family = {release["ID"], *release.get("ID_LIKE", "").split()}
    return {
        "id": release["ID"],
        "version": release.get("VERSION_ID", ""),
        "title": release.get("PRETTY_NAME", release["ID"]),
        "packages": "deb" if family & {"debian", "ubuntu"} else "rpm",
    }


def os_packages(kind):
    """Return three dicts: the versions, what scanners need besides to know a package, installed bytes."""
    if kind == "deb":
        fields = "Package", "Architecture", "Version", "source:Package", "source:Version", "Installed-Size"
        rows = run(
            "dpkg-query",
            "-W",
            "-f=${db:Status-Abbrev}\t" + "\t".join(f"${{{name}}}" for name in fields) + "\n",
        )
        # ii: installed. A removed package whose configuration is left has another status.
        installed = [row.split("\t")[1:] for row in rows.splitlines() if row.startswith("ii")]
    else:
        version = "%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}"
        # LONGSIZE: SIZE has no more than 32 bits.
        rows = run("rpm", "-qa", "--qf", "%{NAME}\t%{ARCH}\t" + version + "\t%{SOURCERPM}\t\t%{LONGSIZE}\n")
        # rpm lists its keys as packages.
        installed = [row.split("\t") for row in rows.splitlines() if not row.startswith("gpg-pubkey\t")]
    packages, origins, sizes = {}, {}, {}
    for name, arch, version, source, source_version, size in sorted(installed):
        key = name
        if name in packages:  # deb: a second architecture; rpm: several kernel versions may be installed
            key = f"{name}:{arch}" if kind == "deb" else f"{name}:{version}"
        packages[key] = version
        origins[key] = {"architecture": arch, "source": source, "source_version": source_version}
        if size.isdigit():  # a deb need not say it
            sizes[key] = int(size) * (1024 if kind == "deb" else 1)
    return packages, origins, sizes


def python():
    for config in ENVIRONMENT.glob("pyvenv.cfg"):
        match = re.search(r"^version(?:_info)?\s*=\s*(\d+\.\d+(?:\.\d+)?)", config.read_text("utf-8"), re.M)
        if match:
            return match[1]
    return ".".join(map(str, sys.version_info[:3]))


def installed_bytes(package):
    """Return the size of a Python package's files, with their bytecode, which RECORD need not list."""
    files = {Path(file.locate()) for file in package.files or ()}
    for folder in {path.parent for path in files}:
        cache = folder / "__pycache__"
        for path in cache.iterdir() if cache.is_dir() else ():
            if folder / f"{path.name.split('.')[0]}.py" in files:
                files.add(path)
    return sum(os.lstat(path).st_size for path in files if os.path.lexists(path))


def python_packages():
    """Return two dicts: the versions, and the installed bytes."""
    folders = [str(path) for path in ENVIRONMENT.glob("lib/python3*/site-packages")]
    if not folders:  # no path: importlib.metadata would take sys.path
        return {}, {}
    packages, sizes = {}, {}
    for package in metadata.distributions(path=folders):
        name = re.sub(r"[-_.]+", "-", package.metadata["Name"]).lower()
        packages[name], sizes[name] = package.version, installed_bytes(package)
    return dict(sorted(packages.items())), dict(sorted(sizes.items()))


def units():
    # Not with --state: systemctl exits 1 where no unit has that state.
    rows = run("systemctl", "list-unit-files", "--no-legend", "--no-pager")
    states = dict(row.split()[:2] for row in rows.splitlines() if row.split())
    return {unit: state for unit, state in states.items() if state in ("enabled", "enabled-runtime")}


def ports():
    """Return what listens, from the kernel's tables: not every machine has `ss`."""
    listening = set()
    for protocol, state in LISTENING.items():
        for family, name in ((socket.AF_INET, protocol), (socket.AF_INET6, f"{protocol}6")):
            path = Path("/proc/net") / name
            for row in path.read_text("ascii").splitlines()[1:] if path.exists() else ():
                columns = row.split()
                address, port = columns[1].rsplit(":", 1)
                if columns[3] != state or int(port, 16) >= EPHEMERAL:
                    continue
                # Groups of four bytes, each in the processor's byte order.
                raw = b"".join(
                    struct.pack("=I", int(address[at : at + 8], 16)) for at in range(0, len(address), 8)
                )
                listening.add((protocol, socket.inet_ntop(family, raw), int(port, 16)))
    # Other machines have other addresses from DHCP.
    wide = {"0.0.0.0", "::", "127.0.0.1", "::1"}
    return [
        f"{protocol} {address if address in wide or address.startswith('127.') else '*'} {port}"
        for protocol, address, port in sorted(listening)
    ]


def users():
    return {
        user.pw_name: f"{user.pw_uid} {user.pw_shell}"
        for user in pwd.getpwall()
        if user.pw_name != BUILD_USER
    }


def setuid():
    rows = run("find", "/", "-xdev", "-type", "f", "-perm", "/6000", "-printf", "%m %u:%g\t%p\n")
    files = (row.split("\t", 1) for row in rows.splitlines())
    return {path: mode for mode, path in files if not path.startswith(f"/home/{BUILD_USER}/")}


def firewall():
    """Return the active rules. ufw and firewalld print them shorter than nft does."""
    if shutil.which("ufw"):
        lines = run("ufw", "status", "verbose")
    elif shutil.which("firewall-cmd"):
        lines = run("firewall-cmd", "--list-all")
    else:
        lines = run("nft", "--stateless", "list", "ruleset")
    return [line.rstrip() for line in lines.splitlines() if line.strip()]


def upgraded():
    """Return the packages that the upgrade changed: name -> `OLD -> NEW`, or `NEW` for a new one."""
    lists = [Path(f"/var/tmp/notebake-{name}") for name in ("before", "after")]
    if not all(path.exists() for path in lists):
        return {}
    old, new = (dict(row.split("\t") for row in path.read_text("utf-8").splitlines()) for path in lists)
    changed = {name: version for name, version in new.items() if old.get(name) != version}
    return {
        name: f"{old[name]} -> {version}" if name in old else version for name, version in changed.items()
    }


def newest_package(kind):
    """Return the day on which the newest installed package was built, by the times of its files."""
    newest = 0
    if kind == "deb":
        for listing in Path("/var/lib/dpkg/info").glob("*.list"):
            for name in listing.read_text("utf-8").splitlines():
                if name.startswith("/usr/"):
                    try:
                        status = os.lstat(name)
                    except OSError:  # left out by dpkg's path-exclude
                        continue
                    if stat.S_ISREG(status.st_mode):
                        newest = max(newest, status.st_mtime)
    else:
        newest = max(map(int, run("rpm", "-qa", "--qf", "%{BUILDTIME}\n").split()), default=0)
    return time.strftime("%Y-%m-%d", time.gmtime(newest)) if newest else None


def disk():
    """Return what is on the disk, in the shape of notebake.record.software.Software."""
    release = system()
    packages, origins, os_sizes = os_packages(release["packages"])
    modules, python_sizes = python_packages()
    return {
        "system": release,
        "python": python(),
        "os_packages": packages,
        "os_origins": origins,
        "upgraded": upgraded(),
        "newest_package": newest_package(release["packages"]),
        "os_sizes": os_sizes,
        "python_packages": modules,
        "python_sizes": python_sizes,
        "units": dict(sorted(units().items())),
        "users": dict(sorted(users().items())),
        "setuid": dict(sorted(setuid().items())),
    }


def running():
    """Return what only a running machine has, in the same shape."""
    return {"ports": list(dict.fromkeys(ports())), "firewall": firewall()}


if __name__ == "__main__":
    if sys.argv[1:] == ["--disk"]:
        report = disk()
    else:
        report = (json.loads(HOST.read_text("utf-8")) if HOST.exists() else disk()) | running()
    json.dump(report, sys.stdout, indent=1)
    print()
