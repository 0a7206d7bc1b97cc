"""The handshake and the certificate are what browsers accept today.

At most 398 days: the CA/Browser Forum's limit of 2020, which Safari and Chrome enforce.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from notebake.errors import CheckFailed
from notebake.probe.visit import Visit

LONGEST = timedelta(days=398)
_CURVES = {"secp256r1": "EC P-256", "secp384r1": "EC P-384", "secp521r1": "EC P-521"}
_WEAKEST_RSA = 2048


def key_name(certificate: x509.Certificate) -> str:
    """The kind of key: "EC P-256", "RSA 2048", "Ed25519"."""
    key = certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        return _CURVES.get(key.curve.name, f"EC {key.curve.name}")
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    if isinstance(key, dsa.DSAPublicKey):
        return f"DSA {key.key_size}"
    if isinstance(key, (ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)):
        return type(key).__name__.removesuffix("PublicKey")
    return type(key).__name__


def _weak(certificate: x509.Certificate) -> bool:
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size < _WEAKEST_RSA
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.key_size < 256
    return isinstance(key, dsa.DSAPublicKey)


def faults(certificate: x509.Certificate, *, key: str | None, now: datetime) -> Iterator[str]:
    """What is wrong with the certificate, in words; `key` is the kind asked for, None for any strong one."""
    kind = key_name(certificate)
    if key is not None and kind != key:
        yield f"the key is {kind}, not {key}"
    elif _weak(certificate):
        yield f"the key {kind} is too weak"
    extensions = certificate.extensions
    try:
        if extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            yield "it may sign other certificates (CA:TRUE)"
    except x509.ExtensionNotFound:
        pass
    try:
        uses = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        uses = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    if ExtendedKeyUsageOID.SERVER_AUTH not in uses:
        yield "it is not for servers (no serverAuth)"
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now >= end:
        yield f"it expired on {end:%Y-%m-%d}"
    if now < begin:
        yield f"it is not valid before {begin:%Y-%m-%d %H:%M} UTC"
    if end - begin > LONGEST:
        yield f"it is valid for {(end - begin).days} days, browsers take {LONGEST.days} at most"


def run(visit: Visit) -> str:
    """Protocol, kind of key and last day; CheckFailed with every fault."""
    seen = visit.handshake()
    try:
        certificate = x509.load_der_x509_certificate(seen.certificate)
        found = list(faults(certificate, key=visit.subject.key, now=visit.now))
    except ValueError as error:
        raise CheckFailed(f"the certificate cannot be read: {error}") from None
    if found:
        raise CheckFailed("the certificate: " + "; ".join(found))
    return f"{seen.version}, {key_name(certificate)}, until {certificate.not_valid_after_utc:%Y-%m-%d}"
