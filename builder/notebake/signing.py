"""Signatures: Ed25519 over DSSE envelopes (https://github.com/secure-systems-lab/dsse), by securesystemslib.

A private key is a PKCS#8 PEM file without passphrase, a public key a SubjectPublicKeyInfo PEM file; both are what
`openssl genpkey -algorithm ed25519` and `openssl pkey -pubout` write too.
"""

from __future__ import annotations

import json
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey

from notebake.errors import RecordError, SpecError
from notebake.files import write_whole

__all__ = [
    "CryptoSigner",
    "SSlibKey",
    "make_key",
    "private_key",
    "public_key",
    "sign",
    "unverified",
    "verify",
]


def make_key(path: Path) -> Path:
    """A new key pair: the private key at `path` (0600), the public one at `path`.pub, which is returned.

    Raises SpecError when one of them is there already.
    """
    public = path.with_name(path.name + ".pub")
    for item in (path, public):
        if item.exists():
            raise SpecError(f"{item}: is there already", "name another file: a lost key cannot be had back")
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_whole(path, private, 0o600)
    write_whole(public, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return public


def _pem(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SpecError(
            f"{path}: the {what} key cannot be read: {error.strerror}", "`notebake catalog key` makes a pair"
        ) from None


def private_key(path: Path) -> CryptoSigner:
    """The signer whose key is in `path`. Raises SpecError."""
    try:
        key = load_pem_private_key(_pem(path, "signing"), None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise SpecError(f"{path}: not an Ed25519 private key (PEM, no passphrase)")
    return CryptoSigner(key)


def public_key(path: Path) -> SSlibKey:
    """The public key in `path`. Raises SpecError."""
    try:
        key = load_pem_public_key(_pem(path, "public"))
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise SpecError(f"{path}: not an Ed25519 public key (PEM)")
    return SSlibKey.from_crypto(key)


def sign(payload: bytes, payload_type: str, signer: CryptoSigner) -> bytes:
    """A DSSE envelope (JSON) with `payload`. Ed25519: the same bytes give the same envelope."""
    envelope = Envelope(payload, payload_type, {})
    envelope.sign(signer)
    return (json.dumps(envelope.to_dict(), indent=1) + "\n").encode()


def verify(data: bytes, payload_type: str, key: SSlibKey, *, source: str) -> bytes:
    """The payload of the envelope `data`, signed by `key`. Raises RecordError, naming `source`."""
    envelope = _envelope(data, payload_type, source)
    try:
        envelope.verify([key], 1)
    except VerificationError:
        raise RecordError(
            f"{source}: the signature is not by this key, or what it signs was changed",
            "is that the public key of those who made the catalog?",
        ) from None
    return envelope.payload


def unverified(data: bytes, payload_type: str, *, source: str) -> bytes:
    """The payload of an envelope whose signature nobody checked: to show, not to trust. Raises RecordError."""
    return _envelope(data, payload_type, source).payload


def _envelope(data: bytes, payload_type: str, source: str) -> Envelope:
    try:
        envelope = Envelope.from_dict(json.loads(data))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordError(f"{source}: not a signed envelope: {error}") from None
    if envelope.payload_type != payload_type:
        raise RecordError(f"{source}: holds {envelope.payload_type!r}, not {payload_type!r}")
    return envelope
