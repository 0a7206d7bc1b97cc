"""The handshake and the certificate are what browsers accept today.

A certificate made on the machine is also what its program promises: EC P-256, for servers only, and at
most 398 days, the CA/Browser Forum's limit of 2020, which Safari and Chrome enforce for public CAs.
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
LONGEST = timedelta(days=398)


def faults(certificate: x509.Certificate, *, own: bool, now: datetime) -> Iterator[str]:
    """What is wrong with the certificate, in words; `own`: its owner brought it."""
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
        yield "it does not say that it is for servers (no serverAuth)"
    valid = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    if valid > LONGEST:
        yield f"it is valid for {valid.days} days, browsers take {LONGEST.days} at most"


def run(context: Context) -> str:
    """Protocol, kind of key and last day; CheckFailed with every fault."""
    certificate = served(context)
    found = list(faults(certificate, own=is_own(certificate, context.subject), now=context.now))
    if found:
        raise CheckFailed("the certificate: " + "; ".join(found))
    kind, end = certificate_rules.key_name(certificate), certificate.not_valid_after_utc
    return f"{context.handshake().version}, {kind}, until {end:%Y-%m-%d}"
