"""A stand-in for sigstore's public services, which tests cannot reach: GitHub's token, Fulcio and Rekor.

Its signatures are real, made with keys that its trust config names. So sigstore's own client verifies all of
it: the certificate's chain and its timestamp (RFC 6962), the log's entry, proof and checkpoint.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

import jwt
import rfc8785
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from tests.loopback import Quiet, serving

ISSUER = "https://token.actions.githubusercontent.com"
IDENTITY = "https://github.com/me/images/.github/workflows/images.yml@refs/heads/main"
# Fulcio's issuer (https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md), RFC 6962's timestamps.
_OID_ISSUER = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
_OID_TIMESTAMPS = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


class _Key:
    def __init__(self) -> None:
        self._private = ec.generate_private_key(ec.SECP256R1())
        self.private = self._private
        self.public = self._private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.id = hashlib.sha256(self.public).digest()

    def sign(self, data: bytes) -> bytes:
        return self._private.sign(data, ec.ECDSA(hashes.SHA256()))

    def trusted(self) -> dict[str, Any]:
        return {"rawBytes": _b64(self.public), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": _SINCE}


_SINCE = {"start": "2020-01-01T00:00:00Z"}


class Services:
    """The services at `url`. `refuses`: Rekor accepts no entry."""

    def __init__(self) -> None:
        self._ca, self._ctlog, self._rekor = _Key(), _Key(), _Key()
        self.refuses = False
        now = datetime.now(UTC)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stand-in for Fulcio")])
        self._root = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._ca.private.public_key())
            .serial_number(1)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(sign_certificates=True), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self._ca.private.public_key()), critical=False
            )
            .sign(self._ca.private, hashes.SHA256())
        )
        self.url = ""

    def environment(self) -> dict[str, str]:
        """Return the environment of a GitHub job with `id-token: write`."""
        return {
            "GITHUB_ACTIONS": "true",
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.url}/token?",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "x",
        }

    def trust_config(self) -> str:
        """Return sigstore's client trust config for these services, as JSON."""
        service = {"majorApiVersion": 1, "validFor": _SINCE, "operator": "test"}
        log = {"baseUrl": self.url, "hashAlgorithm": "SHA2_256"}
        root = {"rawBytes": _b64(self._root.public_bytes(Encoding.DER))}
        return json.dumps(
            {
                "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
                "trustedRoot": {
                    "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
                    "tlogs": [
                        log | {"publicKey": self._rekor.trusted(), "logId": {"keyId": _b64(self._rekor.id)}}
                    ],
                    "ctlogs": [
                        log | {"publicKey": self._ctlog.trusted(), "logId": {"keyId": _b64(self._ctlog.id)}}
                    ],
                    "certificateAuthorities": [
                        {
                            "subject": {"organization": "test", "commonName": "test"},
                            "uri": self.url,
                            "certChain": {"certificates": [root]},
                            "validFor": _SINCE,
                        }
                    ],
                    "timestampAuthorities": [],
                },
                "signingConfig": {
                    "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
                    "caUrls": [service | {"url": self.url}],
                    "oidcUrls": [],
                    "rekorTlogUrls": [service | {"url": self.url}],
                    "tsaUrls": [],
                    "rekorTlogConfig": {"selector": "ANY"},
                    "tsaConfig": {"selector": "ANY"},
                },
            }
        )  # fmt: skip

    def handler(self) -> type[BaseHTTPRequestHandler]:
        """Return the HTTP handler of all services."""
        answers: dict[str, Callable[[dict[str, Any], str], tuple[int, dict[str, Any]]]] = {
            "/token": self._token,
            "/api/v2/signingCert": self._certificate,
            "/api/v1/log/entries": self._entry,
        }

        class Handler(Quiet):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
                status, answer = answers[self.path.partition("?")[0]](json.loads(body or b"{}"), bearer)
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST

        return Handler

    def _token(self, _: dict[str, Any], bearer: str) -> tuple[int, dict[str, Any]]:
        now = int(time.time())
        claims = {
            "iss": ISSUER, "aud": "sigstore", "sub": "repo:me/images:ref:refs/heads/main", "iat": now,
            "exp": now + 300, "job_workflow_ref": IDENTITY.removeprefix("https://github.com/"),
        }  # fmt: skip
        return 200, {"value": jwt.encode(claims, "nobody checks this signature here, Fulcio would")}

    def _certificate(self, asked: dict[str, Any], bearer: str) -> tuple[int, dict[str, Any]]:
        claims = jwt.decode(bearer, options={"verify_signature": False})
        request = x509.load_pem_x509_csr(base64.b64decode(asked["certificateSigningRequest"]))
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self._root.subject)
            .public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(seconds=5))
            .not_valid_after(now + timedelta(minutes=10))
            .add_extension(_usage(sign_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._ca.private.public_key()),
                critical=False,
            )
            .add_extension(
                x509.SubjectAlternativeName(
                    [x509.UniformResourceIdentifier(f"https://github.com/{claims['job_workflow_ref']}")]
                ),
                critical=True,
            )
            .add_extension(x509.UnrecognizedExtension(_OID_ISSUER, claims["iss"].encode()), critical=False)
        )
        before = builder.sign(self._ca.private, hashes.SHA256()).tbs_certificate_bytes
        stamps = x509.UnrecognizedExtension(_OID_TIMESTAMPS, self._timestamp(before))
        whole = builder.add_extension(stamps, critical=False).sign(self._ca.private, hashes.SHA256())
        chain = [pair.public_bytes(Encoding.PEM).decode() for pair in (whole, self._root)]
        return 200, {"signedCertificateEmbeddedSct": {"chain": {"certificates": chain}}}

    def _timestamp(self, certificate: bytes) -> bytes:
        """Return a list of one timestamp for a certificate without one (RFC 6962, 3.2 and 3.3)."""
        issuer = hashlib.sha256(self._ca.public).digest()
        at = struct.pack("!Q", int(time.time() * 1000))
        signed = b"\0\0" + at + b"\0\1" + issuer + len(certificate).to_bytes(3, "big") + certificate + b"\0\0"
        signature = self._ctlog.sign(signed)
        stamp = (
            b"\0" + self._ctlog.id + at + b"\0\0" + b"\4\3" + struct.pack("!H", len(signature)) + signature
        )
        listed = struct.pack("!H", len(stamp)) + stamp
        listed = struct.pack("!H", len(listed)) + listed
        return (
            b"\4" + (bytes([len(listed)]) if len(listed) < 128 else b"\x81" + bytes([len(listed)])) + listed
        )

    def _entry(self, asked: dict[str, Any], bearer: str) -> tuple[int, dict[str, Any]]:
        """Log an entry, as the only one of its log."""
        if self.refuses:
            return 503, {"message": "the log is closed"}
        proposed = asked["spec"]["proposedContent"]
        envelope = json.loads(proposed["envelope"])
        body = rfc8785.dumps(
            {
                "apiVersion": "0.0.1",
                "kind": "dsse",
                "spec": {
                    "envelopeHash": _sha256(proposed["envelope"].encode()),
                    "payloadHash": _sha256(base64.b64decode(envelope["payload"])),
                    "signatures": [
                        {"signature": signature["sig"], "verifier": proposed["verifiers"][0]}
                        for signature in envelope["signatures"]
                    ],
                },
            }
        )
        root = hashlib.sha256(b"\0" + body).digest()
        log_id, now = self._rekor.id.hex(), int(time.time())
        promised = {"body": _b64(body), "integratedTime": now, "logID": log_id, "logIndex": 0}
        note = f"stand-in\n1\n{_b64(root)}\n"
        signature = _b64(self._rekor.id[:4] + self._rekor.sign(note.encode()))
        proof = {
            "logIndex": 0, "rootHash": root.hex(), "treeSize": 1, "hashes": [],
            "checkpoint": f"{note}\n\N{EM DASH} stand-in {signature}\n",
        }  # fmt: skip
        verification = {
            "inclusionProof": proof, "signedEntryTimestamp": _b64(self._rekor.sign(rfc8785.dumps(promised))),
        }  # fmt: skip
        return 201, {root.hex(): promised | {"verification": verification}}


@contextmanager
def running() -> Iterator[Services]:
    """Run the services on loopback."""
    services = Services()
    with serving(services.handler()) as services.url:
        yield services


def _sha256(data: bytes) -> dict[str, str]:
    return {"algorithm": "sha256", "value": hashlib.sha256(data).hexdigest()}


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates, key_cert_sign=sign_certificates, crl_sign=sign_certificates,
        content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
