"""Decide whether to trust the certificate that a machine presents."""

from __future__ import annotations

import ssl

from notebake.errors import CheckFailed
from notebake.probe import connection
from notebake.probe.subject import Subject, shown_fingerprint


def trusted(subject: Subject, handshake: connection.Handshake, *, seconds: float) -> str:
    """Return the fingerprint (plain hex) that every later connection must have.

    It is the pinned one; without a pin, that of a certificate trusted by this host's CA certificates for the
    host of the address. Raises CheckFailed with the actual fingerprint, or NotReady.
    """
    shown, pinned = shown_fingerprint(handshake.fingerprint), subject.fingerprint
    if pinned is not None:
        if handshake.fingerprint != pinned:
            raise CheckFailed(
                f"pinned {shown_fingerprint(pinned)}, the machine presents {shown}",
                "a new certificate or another machine: compare with the console before you trust it",
            )
        return pinned
    try:
        return connection.publicly_trusted(subject.address, seconds=seconds).fingerprint
    except ssl.SSLCertVerificationError as error:
        raise CheckFailed(
            f"SHA-256 {shown} is neither pinned nor publicly trusted ({error.verify_message})",
            "compare it with the fingerprint on the machine's console, then use --fingerprint to pin it",
        ) from None
