"""What makes this machine itself, at each boot: its certificate, and its token when it has no password.

Run as root before the server, in the notebook's environment. Both are said on the console, as ssh
host keys are. The server waits for READY.
"""

import datetime
import json
import os
import pwd
import secrets
import socket
import subprocess
import sys
import time
from pathlib import Path

import certificate

GUEST = Path(__file__).resolve().parent
STATE = Path("/var/lib/notebake")
READY = Path("/run/notebake/certificate")
OWN = STATE / "own"  # certificate and key that the user brings
ADDRESS_WAIT_SECONDS = 30


def say(text):
    print(text, flush=True)
    try:
        with open("/dev/console", "w") as console:
            console.write(f"notebake: {text}\n")
    except OSError:
        pass


def addresses():
    """Global addresses of this machine; IPv6 ones that will go away by themselves are left out."""
    listing = subprocess.run(["ip", "-json", "address"], check=True, capture_output=True, timeout=20).stdout
    return [
        entry["local"]
        for link in json.loads(listing)
        for entry in link.get("addr_info", ())
        if entry.get("scope") == "global" and not entry.get("temporary") and not entry.get("deprecated")
    ]


def cloud_names():
    """Public names and addresses that the cloud told cloud-init; none is no error."""
    try:
        data = json.loads(Path("/run/cloud-init/instance-data.json").read_text())["ds"]["meta_data"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    keys = ("public-ipv4", "public-hostname", "local-hostname", "public_ipv4", "public_hostname")
    return [
        data[key] for key in keys if isinstance(data, dict) and isinstance(data.get(key), str) and data[key]
    ]


def machine_names(config):
    deadline = time.monotonic() + ADDRESS_WAIT_SECONDS
    while not (found := addresses()) and time.monotonic() < deadline:
        time.sleep(0.3)
    fixed = ["localhost", "127.0.0.1", "::1"]
    return [name for name in [socket.gethostname(), *cloud_names(), *config["names"], *found, *fixed] if name]


def give_to(user):
    account = pwd.getpwnam(user)
    return lambda path: os.chown(path, account.pw_uid, account.pw_gid)


def own_certificate(config):
    """The user's own pair: used as it is, or not at all. A missing or wrong key is an error that says so."""
    chain = (GUEST / "own.pem").read_bytes()
    try:
        key = (OWN / "key.pem").read_bytes()
    except FileNotFoundError:
        sys.exit(f"own certificate: no key yet: copy it to {OWN / 'key.pem'}")
    if not certificate.matches(key, chain):
        sys.exit("own certificate: the key does not belong to it")
    tls = STATE / "tls"
    if not (tls / "cert.pem").exists() or (tls / "cert.pem").read_bytes() != chain:
        certificate.store(tls, key, chain, give_to(config["user"]))
    return certificate.fingerprint(chain), None


def token(config):
    """A token of 192 bits, once in the machine's life, 0600, shown when it is made."""
    path = STATE / "token"
    if config["password"] or path.exists():
        return
    beside = STATE / "token.new"
    beside.unlink(missing_ok=True)
    value = secrets.token_hex(24)
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(value)
        file.flush()
        os.fsync(file.fileno())
    give_to(config["user"])(beside)
    beside.replace(path)
    say(f"token {value}")


def main():
    config = json.loads((GUEST / "config.json").read_text())
    try:
        token(config)
        if config["own_certificate"]:
            fingerprint, reason = own_certificate(config)
        else:
            now = datetime.datetime.now(datetime.UTC)
            fingerprint, reason = certificate.ensure(
                STATE / "tls", machine_names(config), now, give_to(config["user"])
            )
    except SystemExit as error:
        say(f"certificate failed: {error}")
        raise
    if reason:
        print(f"made a new certificate: {reason}")
    # At each boot, and again whenever it changed.
    if reason or not READY.exists():
        say(f"certificate SHA256 {fingerprint}")
    READY.parent.mkdir(exist_ok=True)
    READY.write_text(fingerprint)


if __name__ == "__main__":
    main()
