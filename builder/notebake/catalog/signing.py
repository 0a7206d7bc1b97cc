"""Signed statements: in-toto Statements v1 in DSSE envelopes, by an Ed25519 key or (keyless.py) by sigstore.

https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md, https://github.com/secure-systems-lab/dsse

A private key is a PKCS#8 PEM file without passphrase, a public key a SubjectPublicKeyInfo PEM file; both are what
`openssl genpkey -algorithm ed25519` and `openssl pkey -pubout` write too.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

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

PAYLOAD_TYPE = "application/vnd.in-toto+json"
_STATEMENT = "https://in-toto.io/Statement/v1"


class Verifier(Protocol):
    """Knows whose signature counts."""

    def verify(self, data: bytes, *, source: str) -> bytes:
        """The statement (JSON) in the envelope `data`. Raises RecordError, naming `source`."""


class Signer(Protocol):
    """Signs for one maker."""

    @property
    def verifier(self) -> Verifier:
        """Of what this maker signs."""

    def sign(self, statement: bytes) -> bytes:
        """An envelope (JSON) around a statement (JSON)."""


def statement(predicate_type: str, predicate: Mapping[str, Any], subjects: Mapping[str, str]) -> bytes:
    """A statement (JSON) on the files `subjects` (name -> SHA-256, hex)."""
    made = {
        "_type": _STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": value}} for name, value in sorted(subjects.items())],
        "predicateType": predicate_type,
        "predicate": predicate,
    }
    return (json.dumps(made, indent=1) + "\n").encode()


def read(payload: bytes, predicate_type: str, *, source: str) -> dict[str, Any]:
    """A statement of that type, from its JSON. Raises RecordError, naming `source`."""
    try:
        made = json.loads(payload)
        if (made["_type"], made["predicateType"]) != (_STATEMENT, predicate_type):
            raise ValueError(f"it is no {predicate_type}")
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{source}: not such a statement: {error}") from None
    return dict(made)


def unverified(data: bytes, *, source: str) -> bytes:
    """The statement in an envelope whose signature nobody checked: to show, not to trust. Raises RecordError."""
    try:
        made = json.loads(data)
        # sigstore has an envelope inside of a bundle.
        envelope = made.get("dsseEnvelope", made)
        check_type(envelope["payloadType"], source)
        return base64.b64decode(envelope["payload"], validate=True)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordError(f"{source}: not a signed envelope: {error}") from None


def check_type(payload_type: str, source: str) -> None:
    """RecordError, naming `source`, for an envelope that holds no statement."""
    if payload_type != PAYLOAD_TYPE:
        raise RecordError(f"{source}: holds {payload_type!r}, not {PAYLOAD_TYPE!r}")


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


@dataclass(frozen=True)
class PublicKey:
    """Verifies by an Ed25519 key."""

    key: SSlibKey

    def verify(self, data: bytes, *, source: str) -> bytes:
        """The statement that this key signed. Raises RecordError."""
        envelope = _envelope(data, source)
        try:
            envelope.verify([self.key], 1)
        except VerificationError:
            raise RecordError(
                f"{source}: the signature is not by this key, or what it signs was changed",
                "is that the public key of those who made the catalog?",
            ) from None
        return envelope.payload


@dataclass(frozen=True)
class PrivateKey:
    """Signs by an Ed25519 key: the same statement gives the same envelope."""

    signer: CryptoSigner

    @property
    def verifier(self) -> PublicKey:
        """The public key."""
        return PublicKey(self.signer.public_key)

    def sign(self, statement: bytes) -> bytes:
        """An envelope around a statement."""
        envelope = Envelope(statement, PAYLOAD_TYPE, {})
        envelope.sign(self.signer)
        return (json.dumps(envelope.to_dict(), indent=1) + "\n").encode()


def private_key(path: Path) -> PrivateKey:
    """The signer whose key is in `path`. Raises SpecError."""
    try:
        key = load_pem_private_key(_pem(path, "signing"), None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise SpecError(f"{path}: not an Ed25519 private key (PEM, no passphrase)")
    return PrivateKey(CryptoSigner(key))


def public_key(path: Path) -> PublicKey:
    """The public key in `path`. Raises SpecError."""
    try:
        key = load_pem_public_key(_pem(path, "public"))
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise SpecError(f"{path}: not an Ed25519 public key (PEM)")
    return PublicKey(SSlibKey.from_crypto(key))


def _envelope(data: bytes, source: str) -> Envelope:
    try:
        envelope = Envelope.from_dict(json.loads(data))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordError(
            f"{source}: not an envelope that a key signed: {error}",
            "signed by an identity? --identity, --issuer",
        ) from None
    check_type(envelope.payload_type, source)
    return envelope
