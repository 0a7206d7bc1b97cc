"""The user's own certificate and its chain: what is wrong with it is said before a machine serves it."""

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
_ORDER = (
    "the server's certificate comes first, then the one that issued it, and so on; the root may be left out"
)


def read(spec: Spec, folder: Path, *, now: datetime) -> bytes | None:
    """Return the spec's own certificate chain (PEM, as the file is), checked; None without one.

    `folder` is the spec's, `now` is aware. Raises SpecError.
    """
    own = spec.certificate
    if own.certificate is None:
        return None
    read_key(spec, folder)
    data = (folder / own.certificate).read_bytes()
    if b"PRIVATE KEY" in data:
        raise SpecError(
            f"certificate.certificate: {own.certificate} holds a private key",
            "put the certificates alone into this file: it is rendered, the key must not be",
        )
    try:
        _check(x509.load_pem_x509_certificates(data), f"certificate.certificate: {own.certificate}", now)
    except UNREADABLE as error:
        raise SpecError(f"certificate.certificate: {own.certificate}: cannot be read: {error}") from None
    return data


def read_key(spec: Spec, folder: Path) -> bytes | None:
    """Return the private key of the own certificate (PEM), checked to belong to it; None without one.

    Only `launch` asks for it, to copy it to the machine. Raises SpecError.
    """
    own = spec.certificate
    if own.certificate is None or own.key is None:
        return None
    try:
        pem = (folder / own.key).read_bytes()
        public = load_pem_private_key(pem, None).public_key()
        chain = x509.load_pem_x509_certificates((folder / own.certificate).read_bytes())
        belongs = [public == certificate.public_key() for certificate in chain]
    except FileNotFoundError as error:
        raise SpecError(f"certificate: {error.filename}: no such file") from None
    except (OSError, TypeError, *UNREADABLE) as error:
        raise SpecError(f"certificate: {own.key}: not a PEM pair without a passphrase: {error}") from None
    if not any(belongs):
        raise SpecError(f"certificate.key: {own.key} does not belong to {own.certificate}")
    if not belongs[0]:
        number = belongs.index(True) + 1
        raise SpecError(
            f"certificate.key: {own.key} belongs to certificate {number} of {own.certificate}: wrong order",
            _ORDER,
        )
    return pem


def _check(chain: list[x509.Certificate], source: str, now: datetime) -> None:
    """Raise SpecError, beginning with `source`, for a chain (the server's first) that browsers refuse."""
    leaf, last = chain[0], chain[-1]
    problems = list(certificate_rules.faults(leaf, now=now))
    if not certificate_rules.shown(certificate_rules.names(leaf)):
        problems.append(
            "it has no subjectAltName with a DNS name or an address, and browsers look nowhere else"
        )
    if problems:
        raise SpecError(f"{source}: {'; '.join(problems)}", _NEW)

    def title(certificate: x509.Certificate) -> str:
        return f"certificate {chain.index(certificate) + 1} ({certificate.subject.rfc4514_string()})"

    for issuer in chain[1:]:
        if problems := list(certificate_rules.issuer_faults(issuer, now)):
            raise SpecError(
                f"{source}: {title(issuer)}: {'; '.join(problems)}",
                "get your CA's chain of today, and append that",
            )
    for certificate, issuer in pairwise(chain):
        if not issued(certificate, issuer):
            problem = f"{title(certificate)} was not issued by {title(issuer)}"
            right = next(
                (other for other in chain if other != certificate and issued(certificate, other)), None
            )
            if right:
                problem += f": wrong order: certificate {chain.index(right) + 1} issued it"
            raise SpecError(f"{source}: {problem}", _ORDER)
    # Clients complete a chain with a root that they hold, and with nothing else. So an intermediate may be
    # the last: a root, public or private, may have issued it. A server's certificate may not: public roots
    # issue none, and behind a private root it looks the same as one whose intermediate was forgotten.
    if last is leaf and not issued(leaf, leaf):
        where = "".join(f"; it is at {url}" for url in _issuer_urls(leaf))
        raise SpecError(
            f"{source}: the chain ends half-way: the certificate of its issuer is missing "
            f"({leaf.issuer.rfc4514_string()})",
            f"append it (many CAs give both as fullchain.pem); if it is a root of yours, append the root{where}",
        )


def _issuer_urls(certificate: x509.Certificate) -> list[str]:
    try:
        access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except x509.ExtensionNotFound:
        return []
    return [
        str(item.access_location.value)
        for item in access
        if item.access_method == AuthorityInformationAccessOID.CA_ISSUERS
    ]
