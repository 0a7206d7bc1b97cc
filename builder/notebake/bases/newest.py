"""The newest base image of a target's project, with its digest, verified by the project's signature.

Ubuntu's images are in folders with dated names (serials): the newest in the listing of these folders counts.
openSUSE's have a name without a date, and beside it a dated one of the same image.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import quote

from notebake.bases import signature, web
from notebake.bases.signature import Listed, NotPublished
from notebake.errors import CommandFailed
from notebake.plan.targets import Download

_SERIAL = r"(?<!\d)20\d\d[01]\d[0-3]\d(?:\.\d+)?(?!\d)"
# The part of a URL's path that holds the serial.
_DATED = re.compile(rf"(?P<folder>.*?/)(?P<before>[^/]*?)(?P<serial>{_SERIAL})(?P<after>[^/]*)(?:/.*)?")


def day(url: str) -> str | None:
    """Return the day (YYYY-MM-DD) that a URL names; None if it names none."""
    if found := re.search(_SERIAL, url):
        text = f"{found[0][:4]}-{found[0][4:6]}-{found[0][6:8]}"
        try:
            return datetime.fromisoformat(text).date().isoformat()
        except ValueError:
            return None
    return None


def find(
    base: Download, current: Download, *, context: ssl.SSLContext | None, say: Callable[[str], None]
) -> Download:
    """Return the newest image of the project of `base`, pinned and dated; never one older than `current`.

    `say` prints a line. Raises MissingTool, CommandFailed.
    """
    if dated := _DATED.fullmatch(base.url):
        return _newest_serial(base, dated, current, context, say)
    assert base.signed is not None
    listed = signature.listed(base.signed, base.name, context)
    url, modified = base.url, None
    if listed.name != base.name and re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._+-]*", listed.name):
        url = f"{base.url.rsplit('/', 1)[0]}/{quote(listed.name)}"
        try:
            modified = web.modified(url, context=context)
        except OSError:
            url = base.url
    if url == base.url:
        try:
            modified = web.modified(url, context=context)
        except OSError as error:
            raise CommandFailed(
                f"{url}: cannot be read: {error}", "check the network, and run the command again"
            ) from None
    return Download(
        kind="download", url=url, sha256=listed.sha256, date=day(url) or _date(modified or listed.modified)
    )


def _newest_serial(
    base: Download,
    dated: re.Match[str],
    current: Download,
    context: ssl.SSLContext | None,
    say: Callable[[str], None],
) -> Download:
    folder = dated["folder"]
    try:
        answer = web.get(folder, context=context)
    except OSError as error:
        raise CommandFailed(
            f"{folder}: the list of images cannot be read: {error}",
            "check the network, and run the command again",
        ) from None
    assert answer is not None
    link = (
        rf"""href=["'](?:[^"']*/)?{re.escape(dated["before"])}({_SERIAL}){re.escape(dated["after"])}/?["']"""
    )
    found = set(re.findall(link, answer.body.decode("utf-8", "replace")))
    known = re.search(_SERIAL, current.url)
    oldest = _key(known[0]) if known else (0, 0)
    for serial in sorted(found, key=_key, reverse=True):
        if _key(serial) < oldest:
            break
        candidate = _of_serial(base, dated["serial"], serial)
        assert candidate.signed is not None
        try:
            listed: Listed = signature.listed(candidate.signed, base.name, context)
        except NotPublished as error:
            say(f"{serial} is listed, but not whole: {error.message}")
            continue
        return candidate.model_copy(update={"sha256": listed.sha256, "date": day(candidate.url)})
    raise CommandFailed(
        f"{folder}: lists no image that is as new as {known[0] if known else dated['serial']}",
        "look at this address in a browser; the locks are as they were",
    )


def _of_serial(base: Download, old: str, new: str) -> Download:
    assert base.signed is not None
    signed = base.signed.model_copy(
        update={name: getattr(base.signed, name).replace(old, new) for name in ("sums", "signature")}
    )
    return base.model_copy(update={"url": base.url.replace(old, new), "signed": signed})


def _key(serial: str) -> tuple[int, int]:
    date, _, number = serial.partition(".")
    return int(date), int(number or 0)


def _date(modified: str | None) -> str:
    """Return the day of a Last-Modified header; without one the present day, which cannot be too old."""
    try:
        return parsedate_to_datetime(modified or "").astimezone(UTC).date().isoformat()
    except ValueError:
        return datetime.now(UTC).date().isoformat()
