"""The right password (the login form, as a browser sends it) or the token lets in."""

from __future__ import annotations

from notebake.probe.context import Context


def run(context: Context) -> str:
    """How; CheckFailed when it is refused."""
    context.session()
    return "with the password" if context.subject.password is not None else "with the token"
