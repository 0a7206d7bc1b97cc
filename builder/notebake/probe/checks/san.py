"""subjectAltName holds the expected names; browsers have ignored the common name since 2017."""

from __future__ import annotations

import ipaddress

from cryptography import x509

from notebake.errors import CheckFailed
from notebake.probe.visit import Visit


def covered(name: str, names: x509.SubjectAlternativeName) -> bool:
    """Whether `name` (DNS name or IP address) is in `names`; `*` is one whole first label (RFC 6125)."""
    try:
        return ipaddress.ip_address(name) in names.get_values_for_type(x509.IPAddress)
    except ValueError:
        pass
    wanted = name.lower().rstrip(".")
    _, _, parent = wanted.partition(".")
    known = {entry.lower() for entry in names.get_values_for_type(x509.DNSName)}
    return wanted in known or ("." in parent and f"*.{parent}" in known)


def run(visit: Visit) -> str:
    """The names that were looked for; CheckFailed with the missing ones and those that are there."""
    expected = visit.subject.names or (visit.subject.address.host,)
    certificate = x509.load_der_x509_certificate(visit.handshake().certificate)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        raise CheckFailed("the certificate has no subjectAltName") from None
    missing = [name for name in expected if not covered(name, names)]
    if missing:
        has = [
            *names.get_values_for_type(x509.DNSName),
            *map(str, names.get_values_for_type(x509.IPAddress)),
        ]
        raise CheckFailed(
            f"not in the certificate: {', '.join(missing)}; it names {', '.join(has) or 'nothing'}"
        )
    return ", ".join(expected)
