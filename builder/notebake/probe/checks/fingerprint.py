"""The machine shows the pinned certificate, or one that this computer's authorities vouch for."""

from __future__ import annotations

from notebake.probe.context import Context
from notebake.probe.subject import shown_fingerprint


def run(context: Context) -> str:
    """The SHA-256 fingerprint; CheckFailed when it is another one, or nobody vouches for it."""
    how = "pinned" if context.subject.fingerprint else "publicly trusted"
    return f"{how}: {shown_fingerprint(context.pin())}"
