"""The address of a notebook server: host, port and path, parsed from user input."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from notebake import urls
from notebake.errors import SpecError

DEFAULT_PORT = 9999
HTTPS_PORT = 443

# A path that no program needs to escape, each part with a sign that is not a dot.
PATH = re.compile(r"(?:/(?!\.+(?:/|$))[A-Za-z0-9._~-]+)+", re.ASCII)
_FORM = re.compile(r"(?:\[(?P<six>[^\[\]]*)\]|(?P<host>[^\[\]:]*))(?::(?P<port>[0-9]{1,5}))?", re.ASCII)


def _invalid(text: str, problem: str) -> SpecError:
    return SpecError(
        f"address {text!r}: {problem}", "use https://HOST:PORT/PATH/, HOST:PORT or HOST; IPv6 in brackets"
    )


@dataclass(frozen=True, kw_only=True)
class Address:
    """A host (a name, or an IP address without brackets) and a TCP port, 1 to 65535.

    `path` is where the server's pages begin: empty, or `/lab` without a slash at its end.
    """

    host: str
    port: int = DEFAULT_PORT
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> Address:
        """Parse `https://host:port/path/`, `host:port` or `host`.

        The default port is 443 with `https://`, otherwise 9999. Raises SpecError.
        """
        rest, default = text.strip(), DEFAULT_PORT
        scheme, separator, after = rest.partition("://")
        if separator:
            if scheme.lower() != "https":
                raise _invalid(text, "only https is supported")
            rest, default = after, HTTPS_PORT
        rest = rest.removesuffix("/")
        if any(sign in rest for sign in "?#@"):
            # Without the text: it may contain a password before an @.
            raise SpecError(
                "the address contains a query or a user name",
                "use https://HOST:PORT/PATH/, HOST:PORT or HOST",
            )
        rest, slash, path = rest.partition("/")
        path = slash + path
        if path and not (separator and PATH.fullmatch(path)):
            raise _invalid(text, "its path is not one of letters, digits, ., _, ~ and -, behind https://HOST")
        match = _FORM.fullmatch(rest)
        if not match:
            raise _invalid(text, "not a host and a port")
        port = int(match["port"]) if match["port"] else default
        if not 1 <= port <= 65535:
            raise _invalid(text, f"port {port} is not between 1 and 65535")
        if match["six"] is not None:
            try:
                host = str(ipaddress.IPv6Address(match["six"]))
            except ValueError:
                raise _invalid(text, "not an IPv6 address in the brackets") from None
        else:
            host = match["host"].lower()
            try:
                urls.check_host(host)
            except ValueError as error:
                raise _invalid(text, str(error)) from None
        return cls(host=host, port=port, path=path)

    @property
    def ip(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """The host as an IP address, or None when it is a name."""
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None

    @property
    def url(self) -> str:
        """`https://host:port/path`, without a trailing slash."""
        return f"https://{self}{self.path}"

    @property
    def authority(self) -> str:
        """The host and the port as browsers send them: without the port that https has by default."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == HTTPS_PORT else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
