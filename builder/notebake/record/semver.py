"""Parse and bump the version numbers of images: MAJOR.MINOR.PATCH."""

from __future__ import annotations

import re
from typing import Literal

from notebake.errors import RecordError

FIRST = "1.0.0"
Level = Literal["major", "minor", "patch"]

_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")


def number(version: str) -> tuple[int, int, int]:
    """Return MAJOR.MINOR.PATCH as three numbers, to sort by. Raises RecordError."""
    match = _VERSION.fullmatch(version)
    if match is None:
        raise RecordError(f"{version!r}: not a version", "a version is MAJOR.MINOR.PATCH, as in 1.4.0")
    return int(match[1]), int(match[2]), int(match[3])


def following(version: str, level: Level) -> str:
    """Return `version` bumped by `level`: the numbers to the right of the bumped one become 0."""
    major, minor, patch = number(version)
    if level == "major":
        return f"{major + 1}.0.0"
    return f"{major}.{minor + 1}.0" if level == "minor" else f"{major}.{minor}.{patch + 1}"
