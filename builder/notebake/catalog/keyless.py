"""Signatures without a key of one's own, by sigstore (https://docs.sigstore.dev): a CI's identity signs.

The envelope is inside of a sigstore bundle, with a certificate of a few minutes for that identity and the
transparency log's proof that it signed at that time.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from sigstore.dsse import Statement
from sigstore.errors import Error
from sigstore.models import Bundle, ClientTrustConfig
from sigstore.oidc import IdentityError, IdentityToken, detect_credential
from sigstore.sign import Signer, SigningContext
from sigstore.verify import Verifier, policy

from notebake.catalog.signing import check_type
from notebake.errors import CommandFailed, NotebakeError, RecordError, SpecError


@functools.cache
def _trust(config: Path | None) -> ClientTrustConfig:
    """Of the services at `config`, sigstore's client trust config (JSON); of the public ones when it is None."""
    try:
        return (
            ClientTrustConfig.production()
            if config is None
            else ClientTrustConfig.from_json(config.read_text())
        )
    except (OSError, ValueError, Error) as error:
        where = str(config or "sigstore's public services")
        raise CommandFailed(f"{where}: no trust config: {_first(error)}") from None


def _first(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Verifies by who signed. `identity`: of a GitHub workflow, its URL with `@` and the ref; `issuer`: who says so."""

    identity: str
    issuer: str
    trust: Path | None = None

    def verify(self, data: bytes, *, source: str) -> bytes:
        """The statement that this identity signed. Raises RecordError; CommandFailed without a root of trust."""
        verifier = Verifier(trusted_root=_trust(self.trust).trusted_root)
        wanted = policy.Identity(identity=self.identity, issuer=self.issuer)
        try:
            kind, payload = verifier.verify_dsse(Bundle.from_json(data), wanted)
        except (ValueError, Error) as error:
            raise RecordError(
                f"{source}: not signed by {self.identity} of {self.issuer}, or changed: {_first(error)}"
            ) from None
        check_type(kind, source)
        return payload


@dataclass(frozen=True, kw_only=True)
class Keyless:
    """Signs as the identity that the CI service gives this job, which must be the one of `verifier`."""

    verifier: Identity

    def sign(self, statement: bytes) -> bytes:
        """A bundle around a statement, verified. Raises SpecError outside of a CI, CommandFailed, RecordError."""
        try:
            bundle = _signer(self.verifier.trust).sign_dsse(Statement(statement))
        except NotebakeError:
            raise
        except Exception as error:  # sigstore's clients raise what they, requests and json have
            raise CommandFailed(
                f"sigstore: nothing was signed: {_first(error)}", "do the same again, or sign by --key"
            ) from None
        data = bundle.to_json().encode() + b"\n"
        self.verifier.verify(data, source="the new signature")
        return data


@functools.cache
def _signer(trust: Path | None) -> Signer:
    """One certificate for all that a command signs."""
    try:
        credential = detect_credential()
    except IdentityError as error:
        raise SpecError(f"no identity: {_first(error)}", _HINT) from None
    if credential is None:
        raise SpecError("no identity: no CI service offers one here", _HINT)
    context = SigningContext.from_trust_config(_trust(trust))
    with context.signer(IdentityToken(credential)) as signer:
        return signer


_HINT = (
    "GitHub offers it to jobs with `id-token: write`, GitLab by `id_tokens: SIGSTORE_ID_TOKEN`; or use --key"
)
