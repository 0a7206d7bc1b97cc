"""A base that its project publishes: fetched once with pooch, checked by SHA-256 every time."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pooch
import requests

from notebake.errors import CommandFailed
from notebake.targets import Download


def _digest(base: Download) -> str:
    if base.sha256:
        return base.sha256
    answer = requests.get(str(base.sha256_url), timeout=60)
    answer.raise_for_status()
    found = re.search(r"\b[0-9a-f]{64}\b", answer.text)
    if found is None:
        raise ValueError(f"{base.sha256_url} holds no SHA-256")
    return found[0]


def fetch(base: Download, folder: Path) -> Path:
    """The image's path below `folder`. Raises CommandFailed when it cannot be had or its digest is wrong."""
    name = Path(urlsplit(base.url).path).name
    try:
        digest = _digest(base)
        path = pooch.retrieve(
            base.url, known_hash=f"sha256:{digest}", fname=f"{digest[:12]}-{name}", path=folder
        )
    except (requests.RequestException, ValueError, OSError) as error:
        raise CommandFailed(
            f"{base.url}: cannot be fetched: {error}",
            "is the network there, and is this dated image still published? Its URL and digest are in target.toml",
        ) from None
    return Path(path)
