"""subjectAltName holds the expected names; browsers have ignored the common name since 2017."""

from __future__ import annotations

import ipaddress

from cryptography import x509

from notebake import certificate_rules
from notebake.errors import CheckFailed
from notebake.probe.checks._certificate import is_own, served
from notebake.probe.context import Context


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


def run(context: Context) -> str:
    """The names that were looked for; CheckFailed with the missing ones and those that are there.

    An own certificate has the names by which people reach the machine, and the probe may come by another
    way: any will do.
    """
    certificate = served(context)
    names = certificate_rules.names(certificate)
    has = ", ".join(certificate_rules.shown(names))
    if not has:
        raise CheckFailed("the certificate has no subjectAltName with a DNS name or an address")
    if is_own(certificate, context.subject):
        return f"{has} (an own certificate)"
    expected = context.subject.names or (context.subject.address.host,)
    missing = [name for name in expected if not covered(name, names)]
    if missing:
        raise CheckFailed(f"not in the certificate: {', '.join(missing)}; it names {has}")
    return ", ".join(expected)
