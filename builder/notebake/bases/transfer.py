"""Download a large file in as many pieces as the network breaks it into, also over several runs."""

from __future__ import annotations

import http.client
import os
import re
import ssl
import time
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from notebake.bases import web
from notebake.files import unwritable

# Seconds to wait before each further attempt; from the first again once something arrived.
PAUSES = (1.0, 2.0, 4.0, 8.0)
_CHUNK = 1 << 16


def fetch(url: str, part: Path, *, context: ssl.SSLContext | None, say: Callable[[str], None]) -> bool:
    """Download `url` to the file `part`, going on where `part` ends.

    Return whether all of it came in one piece, that is from one version of the file. `say` prints a line.
    Raises NotFound; OSError after the last attempt, with what came in `part`; CommandFailed if `part`
    cannot be written.
    """
    with _disk(part):
        part.touch()
    failures = 0
    whole = _size(part) == 0
    if not whole:
        say(f"going on after {_mb(_size(part))}")
    while True:
        before = _size(part)
        try:
            _once(url, part, before, context)
            return whole
        except (OSError, http.client.HTTPException) as error:
            after = _size(part)
            failures = 1 if after > before else failures + 1
            if web.is_final(error):
                raise
            if failures > len(PAUSES):
                raise OSError(f"{web.reason(error)}, {failures} times after {_mb(after)}") from None
            whole = whole and after == 0
            pause = PAUSES[failures - 1]
            say(f"{web.reason(error)} after {_mb(after)}: next attempt in {pause:.0f} s")
            time.sleep(pause)


def _once(url: str, part: Path, have: int, context: ssl.SSLContext | None) -> None:
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        with web.opened(url, headers, context) as response:
            if have and response.status == 206:
                found = re.match(r"bytes (\d+)-", response.headers["Content-Range"] or "")
                if found is None or int(found[1]) != have:
                    os.truncate(part, 0)
                    raise ConnectionError("the server sent another part than asked for")
            else:
                have = 0
            _save(response, part, have)
    except urllib.error.HTTPError as error:
        # Nothing is left behind the end of `part`. The caller compares digests.
        if error.code == 416 and have:
            return
        raise


def _save(response: Any, part: Path, have: int) -> None:
    length = response.headers["Content-Length"]
    expected = have + int(length) if length else None
    with open(part, "ab" if have else "wb") as file:
        while chunk := response.read1(_CHUNK):
            with _disk(part):
                file.write(chunk)
            have += len(chunk)
        with _disk(part):
            file.flush()
            os.fsync(file.fileno())
    if expected is not None and have != expected:
        raise ConnectionError("the connection was closed")


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from None


def _size(part: Path) -> int:
    return part.stat().st_size


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
