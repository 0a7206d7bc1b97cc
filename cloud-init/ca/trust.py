"""The spec's CA certificates. Only on machines whose spec has some."""

from pathlib import Path

from machine import run, write
from packages import CA_FOLDER
from paths import CA_BUNDLE, GUEST

BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/ca-bundle.pem")


def step(config):
    """Install them system-wide, and write the bundle for downloads: the system's and these."""
    extra = (GUEST / "ca.pem").read_text()
    system = next((Path(path).read_text() for path in BUNDLES if Path(path).exists()), "")
    write(CA_BUNDLE, system + extra)
    pems = extra.split("-----BEGIN CERTIFICATE-----")[1:]
    if not all(pem in system for pem in pems):
        for number, pem in enumerate(pems, 1):
            write(CA_FOLDER / f"notebake-{number}.crt", "-----BEGIN CERTIFICATE-----" + pem)
        run("update-ca-certificates")
