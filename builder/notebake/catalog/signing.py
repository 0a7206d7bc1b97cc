"""Signed statements: in-toto Statements v1 in DSSE envelopes, by an Ed25519 key or by sigstore (keyless.py).

https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md, https://github.com/secure-systems-lab/dsse

A private key is a PKCS#8 PEM file without passphrase, a public key a SubjectPublicKeyInfo PEM file, as
`openssl genpkey -algorithm ed25519` and `openssl pkey -pubout` write them.
"""

from __future__ import annotations

import base64
import hashlib
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
from pydantic import model_validator
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey

from notebake import documents
from notebake.errors import RecordError, SpecError
from notebake.files import write_whole
from notebake.validation import Digest, StrictModel

PAYLOAD_TYPE = "application/vnd.in-toto+json"
_STATEMENT = "https://in-toto.io/Statement/v1"


class SignerName(StrictModel):
    """A signer: an Ed25519 public key (32 bytes, hex), or a sigstore identity with its OIDC issuer."""

    public_key: Digest | None = None
    identity: str | None = None
    issuer: str | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> SignerName:
        if (self.public_key is None) != (self.identity is not None and self.issuer is not None):
            raise ValueError("a signer is a public_key, or an identity with its issuer")
        return self

    @property
    def title(self) -> str:
        """The name for users: `key SHA256:...`, or the identity and its issuer."""
        if self.public_key is None:
            return f"{self.identity} of {self.issuer}"
        digest = base64.b64encode(hashlib.sha256(bytes.fromhex(self.public_key)).digest())
        return f"key SHA256:{digest.decode().rstrip('=')}"


class Verifier(Protocol):
    """Verifies signatures against one or several trusted signers."""

    @property
    def signers(self) -> tuple[SignerName, ...]:
        """The trusted signers."""

    def verify(self, data: bytes, *, source: str) -> bytes:
        """Verify the envelope `data` and return its statement (JSON). Raises RecordError, naming `source`."""


class Signer(Protocol):
    """Signs statements."""

    @property
    def verifier(self) -> Verifier:
        """The verifier for this signer's signatures."""

    def check(self) -> None:
        """Raise SpecError if it cannot sign here. Signs nothing."""

    def sign(self, statement: bytes) -> bytes:
        """Sign a statement (JSON) and return the envelope (JSON)."""


def statement(predicate_type: str, predicate: Mapping[str, Any], subjects: Mapping[str, str]) -> bytes:
    """Return a statement (JSON) on the files `subjects` (name -> SHA-256, hex)."""
    content = {
        "_type": _STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": value}} for name, value in sorted(subjects.items())],
        "predicateType": predicate_type,
        "predicate": predicate,
    }
    return (json.dumps(content, indent=1) + "\n").encode()


def read(payload: bytes, predicate_type: str, *, source: str) -> dict[str, Any]:
    """Parse a statement (JSON) of the type `predicate_type`. Raises RecordError, naming `source`."""
    try:
        content = documents.parse_json(payload)
        if (content["_type"], content["predicateType"]) != (_STATEMENT, predicate_type):
            raise ValueError(f"not of the type {predicate_type}")
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{source}: not a valid statement: {error}") from None
    return dict(content)


def unverified(data: bytes, *, source: str) -> bytes:
    """Return the statement in an envelope without verifying its signature. Raises RecordError."""
    try:
        content = documents.parse_json(data)
        # sigstore puts the envelope into a bundle.
        envelope = content.get("dsseEnvelope", content)
        check_type(envelope["payloadType"], source)
        return base64.b64decode(envelope["payload"], validate=True)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordError(f"{source}: not a signed envelope: {error}") from None


def check_type(payload_type: str, source: str) -> None:
    """Raise RecordError, naming `source`, unless the envelope contains a statement."""
    if payload_type != PAYLOAD_TYPE:
        raise RecordError(f"{source}: contains {payload_type!r}, not {PAYLOAD_TYPE!r}")


def make_key(path: Path) -> Path:
    """Write a new key pair and return the path of the public key.

    The private key is written to `path` (0600), the public key to `path`.pub. Raises SpecError if one of the
    files exists.
    """
    public = path.with_name(path.name + ".pub")
    for file in (path, public):
        if file.exists():
            raise SpecError(
                f"{file}: already exists", "choose another file: a replaced key cannot be recovered"
            )
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
            f"{path}: the {what} key cannot be read: {error.strerror}",
            "`notebake catalog key` creates a key pair",
        ) from None


@dataclass(frozen=True)
class PublicKey:
    """Verifies signatures with an Ed25519 public key."""

    key: SSlibKey

    @property
    def signers(self) -> tuple[SignerName, ...]:
        """The key."""
        return (SignerName(public_key=self.key.keyval["public"]),)

    def verify(self, data: bytes, *, source: str) -> bytes:
        """Verify an envelope and return its statement. Raises RecordError."""
        envelope = _envelope(data, source)
        try:
            envelope.verify([self.key], 1)
        except VerificationError:
            raise RecordError(
                f"{source}: not signed by this key, or changed after signing",
                "check that this is the signers' public key",
            ) from None
        return envelope.payload


@dataclass(frozen=True)
class PrivateKey:
    """Signs with an Ed25519 key. Same statement, same envelope."""

    signer: CryptoSigner

    @property
    def verifier(self) -> PublicKey:
        """The verifier with the public key."""
        return PublicKey(self.signer.public_key)

    def check(self) -> None:
        """Do nothing: a key that could be read can sign."""

    def sign(self, statement: bytes) -> bytes:
        """Sign a statement and return the envelope (JSON)."""
        envelope = Envelope(statement, PAYLOAD_TYPE, {})
        envelope.sign(self.signer)
        return (json.dumps(envelope.to_dict(), indent=1) + "\n").encode()


def private_key(path: Path) -> PrivateKey:
    """Read a private key. Raises SpecError."""
    try:
        key = load_pem_private_key(_pem(path, "signing"), None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise SpecError(f"{path}: not an Ed25519 private key (PEM, no passphrase)")
    return PrivateKey(CryptoSigner(key))


def public_key(path: Path) -> PublicKey:
    """Read a public key. Raises SpecError."""
    try:
        key = load_pem_public_key(_pem(path, "public"))
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise SpecError(f"{path}: not an Ed25519 public key (PEM)")
    return PublicKey(SSlibKey.from_crypto(key))


def named_key(name: SignerName) -> PublicKey:
    """Return the public key that a signer's name contains."""
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(name.public_key or ""))
    return PublicKey(SSlibKey.from_crypto(key))


def any_public_key(path: Path) -> PublicKey:
    """Read a public key, or the public half of a private key. Raises SpecError."""
    if b"PRIVATE KEY" in _pem(path, "public"):
        return private_key(path).verifier
    return public_key(path)


def _envelope(data: bytes, source: str) -> Envelope:
    try:
        envelope = Envelope.from_dict(documents.parse_json(data))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordError(
            f"{source}: not an envelope signed by a key: {error}",
            "if an identity signed it, use --identity and --issuer",
        ) from None
    check_type(envelope.payload_type, source)
    return envelope
