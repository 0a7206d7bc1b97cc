"""Whether the certificate that a machine shows is the one to trust."""

from __future__ import annotations

import ssl

from notebake.errors import CheckFailed
from notebake.probe import connection
from notebake.probe.subject import Subject, shown_fingerprint


def trusted(subject: Subject, seen: connection.Handshake, *, seconds: float) -> str:
    """The fingerprint (plain hex) that every connection from here on must show.

    The pinned one when there is a pin; otherwise the one this computer's authorities vouch for, for
    the address's host. Raises CheckFailed with what was seen, or NotReady.
    """
    shown, wanted = shown_fingerprint(seen.fingerprint), subject.fingerprint
    if wanted is not None:
        if seen.fingerprint != wanted:
            raise CheckFailed(
                f"pinned {shown_fingerprint(wanted)}, the machine shows {shown}",
                "made anew, or somebody else's machine: compare with the console before you trust it",
            )
        return wanted
    try:
        return connection.publicly_trusted(subject.address, seconds=seconds).fingerprint
    except ssl.SSLCertVerificationError as error:
        raise CheckFailed(
            f"SHA-256 {shown} is neither pinned nor publicly trusted ({error.verify_message})",
            "compare it with the fingerprint on the machine's console and pin it",
        ) from None
