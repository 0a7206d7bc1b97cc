"""HTTP client for a notebook server: one connection per request, cookies kept and never shown."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlencode

from notebake import documents
from notebake.address import Address
from notebake.errors import CheckFailed
from notebake.probe import connection

# The limit for a response; pages and API responses are far smaller.
_MAX_BYTES = 8 << 20
_XSRF = "_xsrf"


@dataclass(frozen=True, kw_only=True)
class Response:
    """Status, headers and body (bytes) of a response. Its repr shows only the status."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def json(self, what: str) -> Any:
        """Return the body, parsed as JSON. Raises CheckFailed, naming `what`."""
        try:
            return documents.parse_json(self.body)
        except ValueError:
            raise CheckFailed(f"{what}: the response is not JSON") from None


@dataclass(kw_only=True)
class Session:
    """Sends requests to `address`, pinned by `fingerprint` (plain hex), with a token or cookies."""

    address: Address
    fingerprint: str
    token: str | None = field(default=None, repr=False)
    cookies: dict[str, str] = field(default_factory=dict, repr=False)

    def credentials(self) -> dict[str, str]:
        """Return the authentication headers. They are secret."""
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
    ) -> Response:
        """Send a request with a form or JSON to `path` below the address's; do not follow redirects.

        Raises NotReady, CheckFailed.
        """
        # The name of the log-in's cookie is made of Host, which a websocket must send alike.
        headers = {"Host": self.address.authority, "Accept": "*/*", "Connection": "close"}
        headers |= self.credentials()
        body: bytes | None = None
        if form is not None:
            body, headers["Content-Type"] = urlencode(form).encode(), "application/x-www-form-urlencoded"
        elif data is not None:
            body, headers["Content-Type"] = json.dumps(data).encode(), "application/json"
        if _XSRF in self.cookies and method != "GET":
            headers["X-XSRFToken"] = self.cookies[_XSRF]
        with connection.pinned(self.address, self.fingerprint, seconds=seconds) as tls:
            client = http.client.HTTPConnection(self.address.host, self.address.port, timeout=seconds)
            client.sock = tls
            client.request(method, self.address.path + path, body, headers)
            response = client.getresponse()
            content = response.read(_MAX_BYTES)
            for cookie in response.headers.get_all("Set-Cookie") or ():
                self._store_cookie(cookie)
            return Response(status=response.status, headers=dict(response.headers.items()), body=content)

    def _store_cookie(self, header: str) -> None:
        try:
            jar = SimpleCookie(header)
        except CookieError:
            return
        for name, morsel in jar.items():
            if morsel.value:
                self.cookies[name] = morsel.coded_value
            else:
                self.cookies.pop(name, None)

    def log_in(self, password: str, *, seconds: float) -> Response:
        """Send the login form as a browser does: get the page and its cookie first. Return the response."""
        page = self.request("GET", "/login", seconds=seconds)
        if page.status != 200 or not re.search(rb"""name=["']?password""", page.body):
            raise CheckFailed(
                f"GET /login: status {page.status}, no login form",
                "check that this is a Jupyter server with a log-in, and that the address has its base_url",
            )
        return self.request(
            "POST",
            "/login",
            seconds=seconds,
            form={"password": password, _XSRF: self.cookies.get(_XSRF, "")},
        )

    def accepted(self, *, seconds: float) -> bool:
        """Return whether the API accepts this session: /api/status requires a login."""
        return self.request("GET", "/api/status", seconds=seconds).status == 200
