"""Check that browsers accept the handshake and the certificate.

A certificate that the machine generated must also be EC P-256, for servers only, and valid for at most 398
days: the CA/Browser Forum's limit of 2020, which Safari and Chrome enforce for public CAs.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from cryptography import x509

from notebake import certificate_rules
from notebake.errors import CheckFailed
from notebake.probe.checks._certificate import is_own, served
from notebake.probe.context import Context

KEY = "EC P-256"
MAX_VALIDITY = timedelta(days=398)


def faults(certificate: x509.Certificate, *, own: bool, now: datetime) -> Iterator[str]:
    """Yield each fault of the certificate, in words. `own`: the user provided it."""
    yield from certificate_rules.faults(certificate, now=now)
    if own:
        return
    kind = certificate_rules.key_name(certificate)
    if kind != KEY:
        yield f"the key is {kind}, not {KEY}"
    extensions = certificate.extensions
    try:
        if extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            yield "it may sign other certificates (CA:TRUE)"
    except x509.ExtensionNotFound:
        pass
    try:
        extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except x509.ExtensionNotFound:
        yield "it is not restricted to servers (no serverAuth)"
    validity = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    if validity > MAX_VALIDITY:
        yield f"it is valid for {validity.days} days, browsers accept {MAX_VALIDITY.days} days at most"


def run(context: Context) -> str:
    """Return protocol, key type and expiry date. Raises CheckFailed with every fault."""
    certificate = served(context)
    problems = list(faults(certificate, own=is_own(certificate, context.subject), now=context.now))
    if problems:
        raise CheckFailed("the certificate: " + "; ".join(problems))
    kind, end = certificate_rules.key_name(certificate), certificate.not_valid_after_utc
    return f"{context.handshake().version}, {kind}, until {end:%Y-%m-%d}"
