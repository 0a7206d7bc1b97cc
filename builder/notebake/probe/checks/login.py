"""The right password (the login form, as a browser sends it) or the token lets in."""

from __future__ import annotations

from notebake.probe.visit import Visit


def run(visit: Visit) -> str:
    """How; CheckFailed when it is refused."""
    visit.session()
    return "with the password" if visit.subject.password is not None else "with the token"
