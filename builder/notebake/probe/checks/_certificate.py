"""The certificate that a machine serves, and whether its owner brought it."""

from __future__ import annotations

import ipaddress

from cryptography import x509

from notebake import certificate_rules
from notebake.errors import CheckFailed
from notebake.probe.context import Context
from notebake.probe.subject import Subject

# cloud-init's certificate program puts these into each certificate that it makes.
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
    """Return whether the owner brought this certificate; otherwise it was made on the machine.

    When the subject does not say so, as for an address, the certificate does: the machine's is signed by
    itself and names all that loopback is called.
    """
    if subject.own_certificate is not None:
        return subject.own_certificate
    by_itself = certificate.issuer == certificate.subject
    return not (by_itself and set(certificate_rules.names(certificate)) >= _LOOPBACK)
