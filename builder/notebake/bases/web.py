"""Read from http, https and file URLs, with several attempts: small files whole, and only if they changed."""

from __future__ import annotations

import http.client
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

# Seconds to wait before each further attempt.
PAUSES = (1.0, 3.0)
_TIMEOUT = 30


class NotFound(OSError):
    """The server has no such file."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A file. `modified`: Last-Modified. `validators`: headers to ask with whether it changed."""

    body: bytes
    modified: str | None
    validators: Mapping[str, str]


def context(certificates: Iterable[str] = ()) -> ssl.SSLContext:
    """Return TLS settings that trust the host's CA certificates and `certificates` (PEM)."""
    made = ssl.create_default_context()
    if pems := "".join(certificates):
        made.load_verify_locations(cadata=pems)
    return made


def get(
    url: str, *, headers: Mapping[str, str] | None = None, context: ssl.SSLContext | None = None
) -> Answer | None:
    """Return the file at `url`; None if it is unchanged since `headers`, its validators, were read.

    Raises NotFound, and OSError after the last attempt.
    """
    return _attempts(url, headers or {}, context, "GET")


def modified(url: str, *, context: ssl.SSLContext | None = None) -> str | None:
    """Return the Last-Modified of the file at `url` without reading it; None if the server does not say.

    Raises NotFound, and OSError after the last attempt.
    """
    answer = _attempts(url, {}, context, "HEAD")
    return answer.modified if answer else None


def is_final(error: Exception) -> bool:
    """Return whether another attempt would fail in the same way."""
    final = isinstance(error, urllib.error.HTTPError) and error.code < 500 and error.code not in (408, 429)
    return final or isinstance(error, NotFound)


def reason(error: Exception) -> str:
    """Return what is wrong, in short."""
    if isinstance(error, urllib.error.HTTPError):
        return f"{error.code} {error.reason}"
    return str(getattr(error, "reason", None) or error or type(error).__name__)


@contextmanager
def opened(
    url: str, headers: Mapping[str, str], context: ssl.SSLContext | None, method: str = "GET"
) -> Iterator[Any]:
    """Yield the server's answer, to be read. Raises NotFound, OSError, http.client.HTTPException."""
    request = urllib.request.Request(url, headers={"User-Agent": "notebake", **headers}, method=method)
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT, context=context)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (403, 404, 410):
            raise NotFound(reason(error)) from None
        raise
    except urllib.error.URLError as error:
        if isinstance(error.reason, FileNotFoundError) or "No such file" in str(error.reason):
            raise NotFound("no such file") from None
        raise
    with response:
        yield response


def _attempts(
    url: str, headers: Mapping[str, str], context: ssl.SSLContext | None, method: str
) -> Answer | None:
    for pause in (*PAUSES, None):
        try:
            return _once(url, headers, context, method)
        except NotFound:
            raise
        except (OSError, http.client.HTTPException) as error:
            if pause is None or is_final(error):
                raise OSError(reason(error)) from None
            time.sleep(pause)
    raise AssertionError("unreachable")


def _once(url: str, headers: Mapping[str, str], context: ssl.SSLContext | None, method: str) -> Answer | None:
    try:
        with opened(url, headers, context, method) as response:
            body, found = response.read(), response.headers
    except urllib.error.HTTPError as error:
        if error.code == 304:
            return None
        raise
    pairs = (("If-None-Match", "ETag"), ("If-Modified-Since", "Last-Modified"))
    validators = {ask: found[name] for ask, name in pairs if found[name]} if url.startswith("http") else {}
    return Answer(body=body, modified=found["Last-Modified"], validators=validators)
