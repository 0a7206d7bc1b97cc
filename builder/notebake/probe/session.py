"""HTTP with a notebook server: one request a connection, cookies kept, nothing of them ever shown."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlencode

from notebake.address import Address
from notebake.errors import CheckFailed
from notebake.probe import connection

# A page or an answer of the API is far below this; more is not read.
_MOST_BYTES = 8 << 20
_XSRF = "_xsrf"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Status, headers and body (bytes) of one response. The body is not part of its repr."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def json(self, what: str) -> Any:
        """The body as JSON; CheckFailed naming `what` when it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise CheckFailed(f"{what}: the answer is not JSON") from None


@dataclass(kw_only=True)
class Session:
    """Requests to `address`, trusted by `fingerprint` (plain hex), with a token or with cookies."""

    address: Address
    fingerprint: str
    token: str | None = field(default=None, repr=False)
    cookies: dict[str, str] = field(default_factory=dict, repr=False)

    def credentials(self) -> dict[str, str]:
        """The headers that say who asks. Secret."""
        headers = {}
        if self.token is not None:
            headers["Authorization"] = f"token {self.token}"
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return headers

    def request(
        self,
        method: str,
        path: str,
        *,
        seconds: float,
        form: Mapping[str, str] | None = None,
        data: Any = None,
    ) -> Answer:
        """One request with a form or with JSON; redirects are not followed. Raises NotReady, CheckFailed."""
        headers = {"Accept": "*/*", "Connection": "close", **self.credentials()}
        body: bytes | None = None
        if form is not None:
            body, headers["Content-Type"] = urlencode(form).encode(), "application/x-www-form-urlencoded"
        elif data is not None:
            body, headers["Content-Type"] = json.dumps(data).encode(), "application/json"
        if _XSRF in self.cookies and method != "GET":
            headers["X-XSRFToken"] = self.cookies[_XSRF]
        with connection.pinned(self.address, self.fingerprint, seconds=seconds) as line:
            client = http.client.HTTPConnection(self.address.host, self.address.port, timeout=seconds)
            client.sock = line
            client.request(method, path, body, headers)
            response = client.getresponse()
            content = response.read(_MOST_BYTES)
            for cookie in response.headers.get_all("Set-Cookie") or ():
                self._keep(cookie)
            return Answer(status=response.status, headers=dict(response.headers.items()), body=content)

    def _keep(self, header: str) -> None:
        try:
            jar = SimpleCookie(header)
        except CookieError:
            return
        for name, morsel in jar.items():
            if morsel.value:
                self.cookies[name] = morsel.coded_value
            else:
                self.cookies.pop(name, None)

    def log_in(self, password: str, *, seconds: float) -> Answer:
        """Send the login form as a browser does: the page first, for its cookie; the form's answer."""
        page = self.request("GET", "/login", seconds=seconds)
        if page.status != 200 or not re.search(rb"""name=["']?password""", page.body):
            raise CheckFailed(
                f"GET /login: status {page.status}, no login form",
                "is authentication turned off, or is this no Jupyter server?",
            )
        return self.request(
            "POST",
            "/login",
            seconds=seconds,
            form={"password": password, _XSRF: self.cookies.get(_XSRF, "")},
        )

    def accepted(self, *, seconds: float) -> bool:
        """Whether the server's API takes this session: /api/status is for logged-in users only."""
        return self.request("GET", "/api/status", seconds=seconds).status == 200
