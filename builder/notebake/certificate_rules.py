"""Rules for server certificates and their issuers: what browsers accept.

The rules for keys and signatures are Mozilla's intermediate profile 5.7
(https://ssl-config.mozilla.org/guidelines/5.7.json). The other rules reject what browsers reject, or what
OpenSSL rejects at security level 2 during the handshake.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, PublicKeyAlgorithmOID

# Raised by the functions below for a certificate that cannot be parsed.
UNREADABLE = (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)
_CURVES = {"secp256r1": "EC P-256", "secp384r1": "EC P-384", "secp521r1": "EC P-521"}
_SERVER_KEYS = {"EC P-256", "EC P-384"}
# Chromium rejects P-521 for a server; every browser accepts it for a CA.
_ISSUER_KEYS = {*_SERVER_KEYS, "EC P-521"}
_MIN_RSA_BITS = 2048
_DIGESTS = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


def key_name(certificate: x509.Certificate) -> str:
    """Return the key type as text: "EC P-256", "RSA 2048", "Ed25519"."""
    key = certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        return _CURVES.get(key.curve.name, f"EC {key.curve.name}")
    if isinstance(key, rsa.RSAPublicKey):
        pss = certificate.public_key_algorithm_oid == PublicKeyAlgorithmOID.RSASSA_PSS
        return f"RSA{'-PSS' if pss else ''} {key.key_size}"
    if isinstance(key, dsa.DSAPublicKey):
        return f"DSA {key.key_size}"
    return type(key).__name__.removesuffix("PublicKey")


def names(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    """Return the certificate's subjectAltName, or an empty one."""
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return x509.SubjectAlternativeName([])


def shown(names: x509.SubjectAlternativeName) -> list[str]:
    """Return the DNS names and addresses of a subjectAltName, as text."""
    addresses = map(str, names.get_values_for_type(x509.IPAddress))
    return [*names.get_values_for_type(x509.DNSName), *addresses]


def issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Return whether `issuer` signed `certificate`; False if the algorithm is too old to verify."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature):
        return False
    return True


def faults(certificate: x509.Certificate, *, now: datetime) -> Iterator[str]:
    """Yield each reason why browsers reject this server certificate; names are not checked."""
    yield from _faults(certificate, _SERVER_KEYS, now)
    yield from _weak_signature(certificate)
    extensions = certificate.extensions
    # `openssl req -x509` marks a self-signed certificate as a CA, and browsers accept it.
    if _ca(certificate) and certificate.issuer != certificate.subject:
        yield "it is a CA certificate (CA:TRUE), not a server certificate"
    try:
        uses = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        if ExtendedKeyUsageOID.SERVER_AUTH not in uses:
            yield "it is not valid for servers (no serverAuth)"
    except x509.ExtensionNotFound:
        pass
    try:
        if not extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature:
            yield "its key usage lacks digitalSignature, which TLS requires"
    except x509.ExtensionNotFound:
        pass


def issuer_faults(certificate: x509.Certificate, now: datetime) -> Iterator[str]:
    """Yield each reason why browsers reject certificates issued by this certificate of the chain."""
    yield from _faults(certificate, _ISSUER_KEYS, now)
    # A root is trusted because it is installed: its signature is not verified, and it may lack extensions.
    root = certificate.issuer == certificate.subject
    if not root:
        yield from _weak_signature(certificate)
    if not _ca(certificate) and not (root and _ca(certificate) is None):
        yield "it is not a CA certificate (no CA:TRUE), so browsers reject what it issued"


def _faults(certificate: x509.Certificate, curves: set[str], now: datetime) -> Iterator[str]:
    kind, key = key_name(certificate), certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        strong = key.key_size >= _MIN_RSA_BITS and "PSS" not in kind
    else:
        strong = kind in curves
    if not strong:
        yield f"the key is {kind}; browsers accept RSA from {_MIN_RSA_BITS} bits, EC P-256 and EC P-384"
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now >= end:
        yield f"it expired on {end:%Y-%m-%d}"
    if now < begin:
        yield f"it is not valid before {begin:%Y-%m-%d %H:%M} UTC"


def _weak_signature(certificate: x509.Certificate) -> Iterator[str]:
    digest = certificate.signature_hash_algorithm
    if not isinstance(digest, _DIGESTS):
        name = digest.name.upper() if digest else "EdDSA"
        yield f"it is signed with {name}; browsers accept SHA-256, SHA-384 and SHA-512"


def _ca(certificate: x509.Certificate) -> bool | None:
    """Return whether it may issue other certificates; None without basicConstraints."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return None
