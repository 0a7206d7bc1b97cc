"""Sign and verify without a key, with sigstore (https://docs.sigstore.dev): the signer is a CI identity.

The envelope is in a sigstore bundle, together with a certificate for that identity, valid for minutes, and
the transparency log's proof of the signing time.
"""

from __future__ import annotations

import functools
import json
import threading
from dataclasses import dataclass
from pathlib import Path

from sigstore.dsse import Statement
from sigstore.errors import Error
from sigstore.models import Bundle, ClientTrustConfig
from sigstore.oidc import IdentityError, IdentityToken, detect_credential
from sigstore.sign import Signer, SigningContext
from sigstore.verify import Verifier, policy

from notebake import documents
from notebake.catalog.signing import SignerName, check_type
from notebake.errors import CommandFailed, NotebakeError, RecordError, SpecError

_LOADING = threading.Lock()


def _trust(config: Path | None) -> ClientTrustConfig:
    """Return sigstore's client trust config (JSON) in `config`; None is the public services."""
    with _LOADING:  # it may refresh files on this host
        return _load(config)


@functools.cache
def _load(config: Path | None) -> ClientTrustConfig:
    try:
        return (
            ClientTrustConfig.production()
            if config is None
            else ClientTrustConfig.from_json(_json(config.read_bytes()))
        )
    except (OSError, ValueError, Error) as error:
        where = str(config or "sigstore's public services")
        raise CommandFailed(f"{where}: cannot load the trust config: {_first_line(error)}") from None


def _json(data: bytes) -> str:
    """Return a JSON document for sigstore's own parsers. Raises ValueError."""
    return json.dumps(documents.parse_json(data))


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Verifies signatures by an identity.

    `identity`: for a GitHub workflow its URL, `@` and the ref. `issuer`: URL of the OIDC issuer.
    """

    identity: str
    issuer: str
    trust: Path | None = None

    @property
    def signers(self) -> tuple[SignerName, ...]:
        """The identity."""
        return (SignerName(identity=self.identity, issuer=self.issuer),)

    @property
    def sigstore(self) -> Path | None:
        """The client trust config of its services."""
        return self.trust

    def verify(self, data: bytes, *, source: str) -> bytes:
        """Return the statement that this identity signed. Raises RecordError, CommandFailed."""
        verifier = Verifier(trusted_root=_trust(self.trust).trusted_root)
        expected = policy.Identity(identity=self.identity, issuer=self.issuer)
        try:
            payload_type, payload = verifier.verify_dsse(Bundle.from_json(_json(data)), expected)
        except (ValueError, Error) as error:
            raise RecordError(
                f"{source}: not signed by {self.identity} of {self.issuer}, or changed: {_first_line(error)}"
            ) from None
        check_type(payload_type, source)
        return payload


@dataclass(frozen=True, kw_only=True)
class Keyless:
    """Signs as the identity of this CI job, which must be the identity of `verifier`."""

    verifier: Identity

    def check(self) -> None:
        """Raise SpecError outside of a CI job with an identity. Public logs get no entry."""
        _credential()

    def sign(self, statement: bytes) -> bytes:
        """Sign a statement and return the verified bundle.

        Raises SpecError outside of a CI job, CommandFailed, RecordError.
        """
        try:
            bundle = _signer(self.verifier.trust).sign_dsse(Statement(statement))
        except NotebakeError:
            raise
        except Exception as error:  # sigstore's clients also raise errors of requests and json
            raise CommandFailed(
                f"sigstore: nothing was signed: {_first_line(error)}",
                "run the same command again, or sign with --key",
            ) from None
        data = bundle.to_json().encode() + b"\n"
        self.verifier.verify(data, source="the new signature")
        return data


@functools.cache
def _signer(trust: Path | None) -> Signer:
    """Return a signer; all signatures of one command share its certificate."""
    credential = _credential()
    context = SigningContext.from_trust_config(_trust(trust))
    with context.signer(IdentityToken(credential)) as signer:
        return signer


def _credential() -> str:
    """Return the identity token of this CI job. Raises SpecError without one."""
    try:
        credential = detect_credential()
    except IdentityError as error:
        raise SpecError(f"no identity: {_first_line(error)}", _HINT) from None
    if credential is None:
        raise SpecError("no identity: this is not a CI job with an identity token", _HINT)
    return credential


_HINT = "on GitHub, set `id-token: write`; on GitLab, `id_tokens: SIGSTORE_ID_TOKEN`; or sign with --key"
