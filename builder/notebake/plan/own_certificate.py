"""Check the user's own certificate and its chain before a machine serves it."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import AuthorityInformationAccessOID

from notebake import certificate_rules
from notebake.certificate_rules import UNREADABLE, issued
from notebake.errors import SpecError
from notebake.plan.spec import Spec

_NEW = (
    "get a new one from your CA, or a self-signed one: openssl req -x509 -newkey rsa:2048 -nodes -days 365 "
    "-keyout new.key -out new.pem -subj /CN=NAME -addext subjectAltName=DNS:NAME "
    "-addext basicConstraints=critical,CA:FALSE"
)
_ORDER = "put the server certificate first, then its issuer, and so on; the root is optional"


def read(spec: Spec, folder: Path, *, now: datetime) -> bytes | None:
    """Return the spec's own certificate chain after checking it (PEM, the file's bytes), or None.

    `folder` is the spec's folder, `now` is timezone-aware. Raises SpecError.
    """
    own = spec.certificate
    if own.certificate is None:
        return None
    read_key(spec, folder)
    data = (folder / own.certificate).read_bytes()
    if b"PRIVATE KEY" in data:
        raise SpecError(
            f"certificate.certificate: {own.certificate} contains a private key",
            "keep only certificates in this file: it is rendered, and the key must not be",
        )
    try:
        _check(x509.load_pem_x509_certificates(data), f"certificate.certificate: {own.certificate}", now)
    except UNREADABLE as error:
        raise SpecError(f"certificate.certificate: {own.certificate}: cannot be read: {error}") from None
    return data


def read_key(spec: Spec, folder: Path) -> bytes | None:
    """Return the private key of the own certificate (PEM) after checking that the two match, or None.

    Only `launch` uses it, to copy it to the machine. Raises SpecError.
    """
    own = spec.certificate
    if own.certificate is None or own.key is None:
        return None
    try:
        pem = (folder / own.key).read_bytes()
        public = load_pem_private_key(pem, None).public_key()
        chain = x509.load_pem_x509_certificates((folder / own.certificate).read_bytes())
        matches = [public == certificate.public_key() for certificate in chain]
    except FileNotFoundError as error:
        raise SpecError(f"certificate: {error.filename}: no such file") from None
    except (OSError, TypeError, *UNREADABLE) as error:
        raise SpecError(f"certificate: {own.key}: not a PEM pair without a passphrase: {error}") from None
    if not any(matches):
        raise SpecError(f"certificate.key: {own.key} does not match {own.certificate}")
    if not matches[0]:
        number = matches.index(True) + 1
        raise SpecError(
            f"certificate.key: {own.key} matches certificate {number} of {own.certificate}: wrong order",
            _ORDER,
        )
    return pem


def _check(chain: list[x509.Certificate], source: str, now: datetime) -> None:
    """Raise SpecError, prefixed with `source`, if browsers reject the chain (server certificate first)."""
    leaf, last = chain[0], chain[-1]
    problems = list(certificate_rules.faults(leaf, now=now))
    if not certificate_rules.shown(certificate_rules.names(leaf)):
        problems.append(
            "it has no subjectAltName with a DNS name or an address, and browsers use nothing else"
        )
    if problems:
        raise SpecError(f"{source}: {'; '.join(problems)}", _NEW)

    def title(certificate: x509.Certificate) -> str:
        return f"certificate {chain.index(certificate) + 1} ({certificate.subject.rfc4514_string()})"

    for issuer in chain[1:]:
        if problems := list(certificate_rules.issuer_faults(issuer, now)):
            raise SpecError(
                f"{source}: {title(issuer)}: {'; '.join(problems)}",
                "get the current chain from your CA and append it",
            )
    for certificate, issuer in pairwise(chain):
        if not issued(certificate, issuer):
            problem = f"{title(certificate)} was not issued by {title(issuer)}"
            actual = next(
                (other for other in chain if other != certificate and issued(certificate, other)), None
            )
            if actual:
                problem += f": wrong order: certificate {chain.index(actual) + 1} issued it"
            raise SpecError(f"{source}: {problem}", _ORDER)
    # Clients can add only a root that they trust. So the last certificate may be an intermediate: a public
    # or private root may have issued it. It may not be a server certificate: public roots issue none, and
    # one from a private root cannot be told from one whose intermediate is missing.
    if last is leaf and not issued(leaf, leaf):
        where = "".join(f"; it is at {url}" for url in _issuer_urls(leaf))
        raise SpecError(
            f"{source}: the chain is incomplete: the issuer's certificate is missing "
            f"({leaf.issuer.rfc4514_string()})",
            "append it (many CAs provide both as fullchain.pem); if the issuer is your own root, append "
            f"the root{where}",
        )


def _issuer_urls(certificate: x509.Certificate) -> list[str]:
    try:
        access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except x509.ExtensionNotFound:
        return []
    return [
        str(description.access_location.value)
        for description in access
        if description.access_method == AuthorityInformationAccessOID.CA_ISSUERS
    ]
