"""Check that access is denied without credentials, with a wrong token and with a wrong password."""

from __future__ import annotations

import secrets

from notebake.errors import CheckFailed
from notebake.probe.context import REQUEST, Context
from notebake.probe.session import Session

_DENIED = (401, 403)


def _check_denied(session: Session, credentials: str, seconds: float) -> None:
    status = session.request("GET", "/api/contents", seconds=seconds).status
    if status not in _DENIED:
        raise CheckFailed(f"/api/contents {credentials}: status {status}, expected 403")


def run(context: Context) -> str:
    """Return what was tried. Raises CheckFailed at the first access that is not denied."""
    seconds = context.seconds(REQUEST)
    anonymous = context.anonymous()
    _check_denied(anonymous, "without credentials", seconds)

    guess = context.anonymous()
    guess.token = secrets.token_hex(24)
    _check_denied(guess, "with a wrong token", seconds)

    for path in ("/tree", "/login"):
        page = anonymous.request("GET", path, seconds=seconds)
        if path == "/tree" and page.status == 200:
            raise CheckFailed("/tree is shown without a login")
        token = context.subject.token
        if token and any(token.encode() in part for part in (page.body, repr(page.headers).encode())):
            raise CheckFailed(f"{path} shows the token without a login")

    wrong = context.anonymous()
    response = wrong.log_in(secrets.token_urlsafe(24), seconds=seconds)
    if response.status not in _DENIED:
        raise CheckFailed(f"POST /login with a wrong password: status {response.status}, expected 401")
    _check_denied(wrong, "after a wrong password", seconds)
    return "403 without credentials, with a wrong token and after a wrong password"
