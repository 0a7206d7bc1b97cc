"""Check that the certificate is the pinned one, or is trusted by this host's CA certificates."""

from __future__ import annotations

from notebake.probe.context import Context
from notebake.probe.subject import shown_fingerprint


def run(context: Context) -> str:
    """Return the SHA-256 fingerprint. Raises CheckFailed if it is another one or is not trusted."""
    how = "pinned" if context.subject.fingerprint else "publicly trusted"
    return f"{how}: {shown_fingerprint(context.pin())}"
