"""Nobody gets in with nothing, with a wrong token, or with a wrong password."""

from __future__ import annotations

import secrets

from notebake.errors import CheckFailed
from notebake.probe.context import REQUEST, Context
from notebake.probe.session import Session

_REFUSED = (401, 403)


def _refuses(session: Session, who: str, seconds: float) -> None:
    status = session.request("GET", "/api/contents", seconds=seconds).status
    if status not in _REFUSED:
        raise CheckFailed(f"/api/contents {who}: status {status}, it must be 403")


def run(context: Context) -> str:
    """CheckFailed at the first way in."""
    seconds = context.seconds(REQUEST)
    nobody = context.anonymous()
    _refuses(nobody, "without credentials", seconds)

    guess = context.anonymous()
    guess.token = secrets.token_hex(24)
    _refuses(guess, "with a wrong token", seconds)

    for path in ("/tree", "/login"):
        page = nobody.request("GET", path, seconds=seconds)
        if path == "/tree" and page.status == 200:
            raise CheckFailed("/tree is shown without a login")
        token = context.subject.token
        if token and any(token.encode() in part for part in (page.body, repr(page.headers).encode())):
            raise CheckFailed(f"{path} tells the token to everybody")

    wrong = context.anonymous()
    answer = wrong.log_in(secrets.token_urlsafe(24), seconds=seconds)
    if answer.status not in _REFUSED:
        raise CheckFailed(f"POST /login with a wrong password: status {answer.status}, it must be 401")
    _refuses(wrong, "after a wrong password", seconds)
    return "403 without credentials, with a wrong token and after a wrong password"
