"""What the service runs: certificate and token made here, then the same server as on Linux.

The account of the service needs no right but to write its own data folder. The certificate is made
while the server imports Jupyter, and looked at again every hour.
"""

import datetime
import json
import os
import secrets
import socket
import threading

from access import MODIFY, only_service
from paths import CONFIG, DATA, GUEST, READY, TLS, TOKEN

CHECK_SECONDS = 3600


def protect(path):
    only_service(path, MODIFY)


def own_certificate(config):
    """The user's own chain with the key that an administrator put beside it; ValueError when they differ."""
    import certificate

    chain, key = (GUEST / "own.pem").read_bytes(), (CONFIG / "own-key.pem").read_bytes()
    if not certificate.matches(key, chain):
        raise ValueError("own certificate: the key does not belong to it")
    if not (TLS / "cert.pem").exists() or (TLS / "cert.pem").read_bytes() != chain:
        certificate.store(TLS, key, chain, protect)
    return certificate.fingerprint(chain)


def names(config):
    """Every name and address of this machine."""
    host = socket.gethostname()
    found = {entry[4][0].split("%")[0] for entry in socket.getaddrinfo(host, None)}
    return [host, *config["names"], *sorted(found), "localhost", "127.0.0.1", "::1"]


def identity(config):
    """Make what is missing, then say the fingerprint in READY, which the server waits for."""
    import certificate

    if not config["password"] and not TOKEN.exists():
        beside = TOKEN.with_suffix(".new")
        beside.write_text(secrets.token_hex(24))
        protect(beside)
        beside.replace(TOKEN)
    if config["own_certificate"]:
        fingerprint = own_certificate(config)
    else:
        now = datetime.datetime.now(datetime.UTC)
        fingerprint, reason = certificate.ensure(TLS, names(config), now, protect)
        if reason:
            print(f"made a new certificate: {reason}", flush=True)
    beside = READY.with_suffix(".new")
    beside.write_text(fingerprint)
    beside.replace(READY)


def keep_identity(config, stop):
    """`identity` now and every hour until the event `stop`; what went wrong is tried again sooner."""
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
    """Jupyter's folders: one for administrators to write, one for the service."""
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

    serve.READY, serve.TOKEN = READY, TOKEN
    try:
        serve.main()
    finally:
        stop.set()


if __name__ == "__main__":
    main()
