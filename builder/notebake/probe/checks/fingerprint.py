"""The machine shows the pinned certificate, or one that this computer's authorities vouch for."""

from __future__ import annotations

from notebake.probe.subject import shown_fingerprint
from notebake.probe.visit import Visit


def run(visit: Visit) -> str:
    """The SHA-256 fingerprint; CheckFailed when it is another one, or nobody vouches for it."""
    how = "pinned" if visit.subject.fingerprint else "publicly trusted"
    return f"{how}: {shown_fingerprint(visit.pin())}"
