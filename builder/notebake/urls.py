"""One rule for every URL in the spec and the options: what is not a plain URL is refused, and says why."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from urllib.parse import SplitResult, urlsplit

WEB = ("http", "https")
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\.?", re.ASCII)


def check_host(host: str) -> None:
    """Raise ValueError unless `host` is a host name or an IPv4 address."""
    if not _NAME.fullmatch(host):
        raise ValueError("not a host name or address")
    if re.fullmatch(r"[0-9.]+", host):
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            raise ValueError("not an IPv4 address") from None


def parse(url: str, *, schemes: Collection[str] = WEB, query: bool = False) -> SplitResult:
    """Return the parts of `url`, which may have a query only with `query`.

    Raises ValueError with the problem, but not with the URL: it may contain a password.
    """
    named = ", ".join(sorted(schemes))
    if not re.fullmatch(r"[!-~]+", url):
        raise ValueError(f"not a URL ({named}; other than ASCII and spaces as %XX)")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:  # a broken address in brackets, or a port that is no number up to 65535
        raise ValueError(f"not a URL: {error}") from None
    if parts.scheme not in schemes or not url.startswith(f"{parts.scheme}://"):
        raise ValueError(f"not a URL ({named})")
    if "@" in parts.netloc:
        raise ValueError("must not contain a user or password: the URL is rendered in plain text")
    if "#" in url or ("?" in url and not query):
        raise ValueError("must not contain a query or a fragment")
    if parts.scheme == "file":
        if parts.netloc or not parts.path.startswith("/"):
            raise ValueError("not a file's URL: file:///PATH")
    elif not host or parts.netloc.endswith(":") or port == 0:
        raise ValueError("not a URL: it needs a host, and a port from 1 to 65535 or none")
    elif not parts.netloc.startswith("["):
        check_host(host)
    return parts
