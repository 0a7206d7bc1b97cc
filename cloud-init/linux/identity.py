"""Make this machine's certificate and, without a password, its token. Run at each boot.

Run as root before the server, in the notebook's environment. Both are printed on the console, as ssh
host keys are. The server waits for READY.
"""

import datetime
import json
import os
import pwd
import secrets
import socket
import subprocess
import time
from pathlib import Path

import certificate
from machine import say
from paths import GUEST, READY, STATE, TOKEN

ADDRESS_WAIT_SECONDS = 30


def addresses():
    """Return the global addresses of this machine, without temporary and deprecated IPv6 addresses."""
    listing = subprocess.run(["ip", "-json", "address"], check=True, capture_output=True, timeout=20).stdout
    return [
        entry["local"]
        for link in json.loads(listing)
        for entry in link.get("addr_info", ())
        if entry.get("scope") == "global" and not entry.get("temporary") and not entry.get("deprecated")
    ]


def cloud_names():
    """Return the public names and addresses that cloud-init got from the cloud; [] if there are none."""
    try:
        data = json.loads(Path("/run/cloud-init/instance-data.json").read_text())["ds"]["meta_data"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    keys = ("public-ipv4", "public-hostname", "local-hostname", "public_ipv4", "public_hostname")
    return [
        data[key] for key in keys if isinstance(data, dict) and isinstance(data.get(key), str) and data[key]
    ]


def machine_names(config):
    """Return every name and address of this machine. Wait for its first address."""
    deadline = time.monotonic() + ADDRESS_WAIT_SECONDS
    while not (own := addresses()) and time.monotonic() < deadline:
        time.sleep(0.3)
    fixed = ["localhost", "127.0.0.1", "::1"]
    return [name for name in [socket.gethostname(), *cloud_names(), *config["names"], *own, *fixed] if name]


def give_to(user):
    """Return a function that makes `user` the owner of a path."""
    account = pwd.getpwnam(user)
    return lambda path: os.chown(path, account.pw_uid, account.pw_gid)


def token(config):
    """Without a password: make a token of 192 bits once (mode 0600), and print it."""
    if config["password"] or TOKEN.exists():
        return
    new = TOKEN.with_name("token.new")
    new.unlink(missing_ok=True)
    value = secrets.token_hex(24)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(value)
        file.flush()
        os.fsync(file.fileno())
    give_to(config["user"])(new)
    new.replace(TOKEN)
    say(f"token {value}")


def main():
    config = json.loads((GUEST / "config.json").read_text())
    try:
        token(config)
        if config["own_certificate"]:
            import own_certificate

            fingerprint, reason = own_certificate.ensure(give_to(config["user"])), None
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
    # Print it at each boot, and again after each change.
    if reason or not READY.exists():
        say(f"certificate SHA256 {fingerprint}")
    READY.parent.mkdir(exist_ok=True)
    READY.write_text(fingerprint)


if __name__ == "__main__":
    main()
