"""The state of a target's package sources, by the release files that they publish and sign.

An image is current as long as they list the same packages. The files are read at each plan, in parallel and
only if they changed; `offline` takes the last answers, which are kept in the cache. Nothing is verified
here: apt and zypper do that on the machine, before they install.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from notebake import documents, paths
from notebake.bases import web
from notebake.errors import CommandFailed, SpecError
from notebake.files import write_whole
from notebake.plan import mirrors
from notebake.plan.plan import Plan


@dataclass(frozen=True, kw_only=True)
class Release:
    """A package source. `digest`: SHA-256 (hex) over the package lists it names.

    `date`: when it was published, `read`: when it was read from its server (both ISO 8601, UTC).
    """

    name: str
    digest: str
    date: str
    read: str


@dataclass(frozen=True, kw_only=True)
class _Source:
    """`files`: URLs to try, the first that exists counts. `components`: empty takes all."""

    name: str
    files: tuple[str, ...]
    components: tuple[str, ...] = ()


def read(plan: Plan, *, offline: bool = False) -> tuple[Release, ...]:
    """Return the state of the package sources that a bake upgrades from; empty if it does not upgrade.

    Raises CommandFailed for a source that cannot be read, and SpecError if `offline` and it never was.
    """
    if not plan.spec.image.upgrade:
        return ()
    sources = _sources(plan)
    if offline:
        return tuple(_last(source) for source in sources)
    context = web.context(plan.sources.ca_certificates)
    with ThreadPoolExecutor(max_workers=8) as pool:
        return tuple(pool.map(lambda source: _read(source, context), sources))


def _sources(plan: Plan) -> tuple[_Source, ...]:
    if facts := plan.target.apt:
        lines = plan.sources.apt_lines or mirrors.apt_lines(facts, facts.archive, None, ())
        return tuple(_apt(line) for line in lines)
    urls: tuple[str, ...] = (plan.sources.zypper,) if plan.sources.zypper else ()
    if plan.target.zypper and not urls:
        urls = plan.target.zypper.repositories
    return tuple(_Source(name=url, files=(f"{url.rstrip('/')}/repodata/repomd.xml",)) for url in urls)


def _apt(line: str) -> _Source:
    """Return the source of a line of sources.list."""
    url, suite, *components = re.sub(r"^deb(\s+\[[^]]*\])?", "", line).split()
    # A suite that ends in a slash is a folder, without components.
    folder = f"{url.rstrip('/')}/{suite}" if suite.endswith("/") else f"{url.rstrip('/')}/dists/{suite}/"
    return _Source(
        name=url if suite.endswith("/") else suite,
        files=(f"{folder}InRelease", f"{folder}Release"),
        components=tuple(components),
    )


def _cache(source: _Source) -> Path:
    name = hashlib.sha256(" ".join((*source.files, *source.components)).encode()).hexdigest()[:24]
    return paths.cache_folder() / "releases" / f"{name}.json"


def _kept(source: _Source) -> dict[str, Any]:
    """Return the last answer: `release`, `url`, and the headers to ask with; empty if there is none."""
    try:
        kept = documents.load_json(_cache(source))
        return {**kept, "release": Release(**kept["release"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _last(source: _Source) -> Release:
    kept = _kept(source)
    if not kept:
        raise SpecError(
            f"--offline: the package source {source.name} was never read: {source.files[0]}",
            "run `notebake plan` once with a network, or set [image] upgrade = false",
        )
    release: Release = kept["release"]
    return release


def _read(source: _Source, context: Any) -> Release:
    kept = _kept(source)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    missing = ""
    for url in source.files:
        asked = kept["headers"] if kept.get("url") == url else {}
        try:
            answer = web.get(url, headers=asked, context=context)
        except web.NotFound as error:
            missing = missing or str(error)
            continue
        except OSError as error:
            raise _unreadable(source, url, str(error)) from None
        if answer is None:
            release = Release(**{**asdict(kept["release"]), "read": now})
            headers: Mapping[str, str] = asked
        else:
            text = answer.body.decode("utf-8", "replace")
            digest = _digest(text, source) if url.endswith("Release") else _sha256(text)
            if digest is None:
                named = " ".join(source.components)
                raise _unreadable(source, url, f"it lists no packages of {named} for amd64")
            release = Release(name=source.name, digest=digest, date=_date(text, answer.modified), read=now)
            headers = answer.validators
        state = {"url": url, "headers": dict(headers), "release": asdict(release)}
        write_whole(_cache(source), json.dumps(state).encode())
        return release
    raise _unreadable(source, source.files[0], missing)


def _unreadable(source: _Source, url: str, problem: str) -> CommandFailed:
    return CommandFailed(
        f"the package source {source.name} cannot be read: {url}: {problem}{_through(url)}",
        "check the network and [mirrors]; --offline takes what was read last",
    )


def _through(url: str) -> str:
    """Return words on the host's proxy if it is used for `url`, without a user and password."""
    parts = urlsplit(url)
    proxy = getproxies().get(parts.scheme)
    if not proxy or proxy_bypass(parts.hostname or ""):
        return ""
    return f", through the proxy {urlsplit(proxy if '://' in proxy else f'//{proxy}').netloc.split('@')[-1]}"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _digest(text: str, source: _Source) -> str | None:
    """Return the digest over the package lists of a (In)Release file; None if there is none of them.

    Not over the file: archives sign it again several times a day, with another date.
    """
    section = re.search(r"^SHA256:[ \t]*\n((?:[ \t].*\n?)+)", text, re.M)
    rows = sorted(" ".join(row.split()) for row in section[1].splitlines()) if section else []
    if source.components:
        wanted = re.compile(rf"({'|'.join(map(re.escape, source.components))})/binary-(amd64|all)/Packages")
        rows = [row for row in rows if wanted.match(row.split()[-1])]
    return _sha256("\n".join(rows)) if rows else None


def _date(text: str, modified: str | None) -> str:
    """Return the date in a release file or repomd.xml, else that of the server, else the present."""
    if found := re.search(r"^Date: (.+)$", text, re.M) or None:
        modified = found[1].replace("UTC", "+0000")
    elif found := re.search(r"<revision>(\d{9,11})</revision>", text):
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(found[1])))
    try:
        when = parsedate_to_datetime(modified or "")
    except ValueError:
        when = datetime.now(UTC)
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
