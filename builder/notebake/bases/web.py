"""Read small files from http, https and file URLs, with several attempts, and only if they changed."""

from __future__ import annotations

import http.client
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

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
    for pause in (*PAUSES, None):
        try:
            return _once(url, headers or {}, context)
        except NotFound:
            raise
        except (OSError, http.client.HTTPException) as error:
            final = isinstance(error, urllib.error.HTTPError) and error.code < 500 and error.code != 429
            if pause is None or final:
                raise OSError(str(getattr(error, "reason", None) or error)) from None
            time.sleep(pause)
    raise AssertionError("unreachable")


def _once(url: str, headers: Mapping[str, str], context: ssl.SSLContext | None) -> Answer | None:
    request = urllib.request.Request(url, headers={"User-Agent": "notebake", **headers})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT, context=context) as response:
            body, found = response.read(), response.headers
    except urllib.error.HTTPError as error:
        if error.code == 304:
            return None
        if error.code in (403, 404, 410):
            raise NotFound(f"{error.code} {error.reason}") from None
        raise
    except urllib.error.URLError as error:
        if isinstance(error.reason, FileNotFoundError) or "No such file" in str(error.reason):
            raise NotFound("no such file") from None
        raise
    pairs = (("If-None-Match", "ETag"), ("If-Modified-Since", "Last-Modified"))
    validators = {ask: found[name] for ask, name in pairs if found[name]} if url.startswith("http") else {}
    return Answer(body=body, modified=found["Last-Modified"], validators=validators)
