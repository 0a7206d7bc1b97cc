"""Check that subjectAltName contains the expected names; browsers have ignored the common name since 2017."""

from __future__ import annotations

import ipaddress

from cryptography import x509

from notebake import certificate_rules
from notebake.errors import CheckFailed
from notebake.probe.checks._certificate import is_own, served
from notebake.probe.context import Context


def covered(name: str, names: x509.SubjectAlternativeName) -> bool:
    """Return whether `name` (DNS name or IP address) is in `names`; `*` is the first label (RFC 6125)."""
    try:
        return ipaddress.ip_address(name) in names.get_values_for_type(x509.IPAddress)
    except ValueError:
        pass
    host = name.lower().rstrip(".")
    _, _, parent = host.partition(".")
    certified = {dns_name.lower() for dns_name in names.get_values_for_type(x509.DNSName)}
    return host in certified or ("." in parent and f"*.{parent}" in certified)


def run(context: Context) -> str:
    """Return the expected names. Raises CheckFailed with the missing names and those in the certificate.

    An own certificate may have any names: the probe may use another name than the users of the machine.
    """
    certificate = served(context)
    names = certificate_rules.names(certificate)
    certified = ", ".join(certificate_rules.shown(names))
    if not certified:
        raise CheckFailed("the certificate has no subjectAltName with a DNS name or an address")
    if is_own(certificate, context.subject):
        return f"{certified} (an own certificate)"
    expected = context.subject.names or (context.subject.address.host,)
    missing = [name for name in expected if not covered(name, names)]
    if missing:
        raise CheckFailed(f"not in the certificate: {', '.join(missing)}; it names {certified}")
    return ", ".join(expected)
