"""The certificate that a machine presents, and whether its user provided it."""

from __future__ import annotations

import ipaddress

from cryptography import x509

from notebake import certificate_rules
from notebake.errors import CheckFailed
from notebake.probe.context import Context
from notebake.probe.subject import Subject

# cloud-init/shared/certificate.py puts these names into every certificate that it generates.
_LOOPBACK = {
    x509.DNSName("localhost"),
    x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    x509.IPAddress(ipaddress.ip_address("::1")),
}


def served(context: Context) -> x509.Certificate:
    """Return the certificate of the handshake. Raises CheckFailed, NotReady."""
    try:
        return x509.load_der_x509_certificate(context.handshake().certificate)
    except ValueError as error:
        raise CheckFailed(f"the certificate cannot be read: {error}") from None


def is_own(certificate: x509.Certificate, subject: Subject) -> bool:
    """Return whether the user provided this certificate; otherwise the machine generated it.

    If the subject does not know, as for an address, the certificate tells: a generated one is self-signed
    and contains all loopback names.
    """
    if subject.own_certificate is not None:
        return subject.own_certificate
    self_signed = certificate.issuer == certificate.subject
    return not (self_signed and set(certificate_rules.names(certificate)) >= _LOOPBACK)
