"""Version numbers of images: MAJOR.MINOR.PATCH."""

from __future__ import annotations

import re
from typing import Literal

from notebake.errors import RecordError

FIRST = "1.0.0"
Level = Literal["major", "minor", "patch"]

_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")


def number(version: str) -> tuple[int, int, int]:
    """MAJOR.MINOR.PATCH as numbers to sort by. Raises RecordError."""
    found = _VERSION.fullmatch(version)
    if found is None:
        raise RecordError(f"{version!r}: not a version", "a version is MAJOR.MINOR.PATCH, as in 1.4.0")
    return int(found[1]), int(found[2]), int(found[3])


def following(version: str, level: Level) -> str:
    """The version after `version`: what is to the right of the risen number falls to 0."""
    major, minor, patch = number(version)
    if level == "major":
        return f"{major + 1}.0.0"
    return f"{major}.{minor + 1}.0" if level == "minor" else f"{major}.{minor}.{patch + 1}"
