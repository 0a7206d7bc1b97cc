"""The service: make certificate and token, then run the same server as on Linux.

The service's account only needs permission to write its data folder. The certificate is made while
the server imports Jupyter, and checked again every five minutes: addresses change.
"""

import datetime
import ipaddress
import json
import os
import secrets
import socket
import threading
import time

from access import MODIFY, only_service
from paths import CONFIG, DATA, GUEST, READY, TLS, TOKEN

CHECK_SECONDS = 300
ADDRESS_SECONDS = 120


def protect(path):
    """Give access to `path` only to administrators and the service."""
    only_service(path, MODIFY)


def own_certificate(config):
    """Store the user's own certificate and key. ValueError if they do not match."""
    import certificate

    chain, key = (GUEST / "own.pem").read_bytes(), (CONFIG / "own-key.pem").read_bytes()
    if not certificate.matches(key, chain):
        raise ValueError(f"own certificate: {CONFIG / 'own-key.pem'} does not match it")
    if not (TLS / "cert.pem").exists() or (TLS / "cert.pem").read_bytes() != chain:
        certificate.store(TLS, key, chain, protect)
    return certificate.fingerprint(chain)


def addresses():
    """Return the addresses by which others reach this machine, sorted: no loopback and link-local ones."""
    try:
        found = {entry[4][0].split("%")[0] for entry in socket.getaddrinfo(socket.gethostname(), None)}
    except socket.gaierror:
        return []
    useful = [
        item for item in map(ipaddress.ip_address, found) if not (item.is_loopback or item.is_link_local)
    ]
    return sorted(map(str, useful))


def wait_for_address(stop):
    """Wait until the machine has an address or `stop` is set: two minutes at most, as it may never get one.

    Windows starts services before DHCP answers. A certificate without the address would be replaced soon.
    """
    until = time.monotonic() + ADDRESS_SECONDS
    while not addresses() and time.monotonic() < until and not stop.wait(1):
        pass


def names(config):
    """Return every name and address of this machine."""
    return [socket.gethostname(), *config["names"], *addresses(), "localhost", "127.0.0.1", "::1"]


def identity(config):
    """Make token and certificate if needed, then write READY, which the server waits for."""
    import certificate

    if not config["password"] and not TOKEN.exists():
        new = TOKEN.with_suffix(".new")
        new.write_text(secrets.token_hex(24))
        protect(new)
        new.replace(TOKEN)
    if config["own_certificate"]:
        fingerprint = own_certificate(config)
    else:
        now = datetime.datetime.now(datetime.UTC)
        fingerprint, reason = certificate.ensure(TLS, names(config), now, protect)
        if reason:
            print(f"made a new certificate: {reason}", flush=True)
    new = READY.with_suffix(".new")
    new.write_text(f"{fingerprint}\n{os.getpid()}\n")
    new.replace(READY)


def keep_identity(config, stop):
    """Run `identity` until the event `stop` is set: every five minutes, after an error every 10 seconds."""
    wait_for_address(stop)
    while True:
        try:
            identity(config)
            wait = CHECK_SECONDS
        except (OSError, ValueError) as error:
            print(f"certificate failed: {error}", flush=True)
            wait = 10
        if stop.wait(wait):
            return


def environment():
    """Return Jupyter's folders: settings that administrators write, data that the service writes."""
    return {
        "JUPYTER_CONFIG_PATH": str(CONFIG),
        "JUPYTER_CONFIG_DIR": str(DATA / "jupyter"),
        "JUPYTER_DATA_DIR": str(DATA / "jupyter" / "data"),
        "JUPYTER_RUNTIME_DIR": str(DATA / "jupyter" / "runtime"),
        "IPYTHONDIR": str(DATA / "ipython"),
        "MPLCONFIGDIR": str(DATA / "matplotlib"),
    }


def main():
    os.environ.update(environment())
    READY.unlink(missing_ok=True)
    config = json.loads((GUEST / "config.json").read_text("utf-8"))
    stop = threading.Event()
    threading.Thread(target=keep_identity, args=(config, stop), daemon=True).start()
    import serve

    identity = {"hashed_password": config["password"]}
    if not config["password"]:
        serve.wait_for(TOKEN)
        identity = {"token": TOKEN.read_text()}
    try:
        serve.main(config, {"PasswordIdentityProvider": identity})
    finally:
        stop.set()


if __name__ == "__main__":
    main()
