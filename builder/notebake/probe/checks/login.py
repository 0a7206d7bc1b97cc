"""Check that the password, sent with the login form as a browser does, or the token is accepted."""

from __future__ import annotations

from notebake.probe.context import Context


def run(context: Context) -> str:
    """Return the kind of login. Raises CheckFailed if it is rejected."""
    context.session()
    return "with the password" if context.subject.password is not None else "with the token"
