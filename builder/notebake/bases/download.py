"""A base that its project publishes: fetched once with pooch, checked by SHA-256 every time."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pooch
import requests

from notebake.errors import CommandFailed
from notebake.targets import Download


def _refuse(url: str, error: Exception) -> CommandFailed:
    return CommandFailed(
        f"{url}: cannot be fetched: {error}",
        "is the network there, and is this dated image still published? target.toml has its URL and digest",
    )


def sha256(base: Download) -> str:
    """The SHA-256 (hex) pinned for `base`, or the one published beside it. Raises CommandFailed."""
    if base.sha256:
        return base.sha256
    try:
        answer = requests.get(str(base.sha256_url), timeout=60)
        answer.raise_for_status()
    except requests.RequestException as error:
        raise _refuse(str(base.sha256_url), error) from None
    found = re.search(r"\b[0-9a-f]{64}\b", answer.text)
    if found is None:
        raise CommandFailed(f"{base.sha256_url}: holds no SHA-256")
    return found[0]


def fetch(base: Download, folder: Path) -> Path:
    """The image's path below `folder`. Raises CommandFailed when it cannot be had or its digest is wrong."""
    name = Path(urlsplit(base.url).path).name
    digest = sha256(base)
    try:
        path = pooch.retrieve(
            base.url, known_hash=f"sha256:{digest}", fname=f"{digest[:12]}-{name}", path=folder
        )
    except (requests.RequestException, ValueError, OSError) as error:
        raise _refuse(base.url, error) from None
    return Path(path)
