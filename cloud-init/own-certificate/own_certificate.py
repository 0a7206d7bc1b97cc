"""The user's own certificate. Only on machines whose spec has one."""

import sys

import certificate
from paths import GUEST, STATE

KEY = STATE / "own/key.pem"  # the user copies it there


def ensure(protect):
    """Store certificate and key as they are; return the fingerprint. SystemExit without a right key."""
    chain = (GUEST / "own.pem").read_bytes()
    try:
        key = KEY.read_bytes()
    except FileNotFoundError:
        sys.exit(f"own certificate: no key yet: copy it to {KEY}")
    if not certificate.matches(key, chain):
        sys.exit(f"own certificate: {KEY} does not match it")
    tls = STATE / "tls"
    if not (tls / "cert.pem").exists() or (tls / "cert.pem").read_bytes() != chain:
        certificate.store(tls, key, chain, protect)
    return certificate.fingerprint(chain)
