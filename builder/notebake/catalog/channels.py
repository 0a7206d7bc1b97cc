"""Channels: names that point to a version. Their changes are in the signed head; none is ever removed.

`candidate` is the newest version and `previous` the version that stable pointed to before: both are derived.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from notebake.errors import SpecError
from notebake.validation import Digest, StrictModel, TargetName, Time, Version

STABLE = "stable"
CANDIDATE = "candidate"
PREVIOUS = "previous"


class Move(StrictModel):
    """One change of a channel: it now points to `version`, whose disk has the SHA-256 `disk`."""

    target: TargetName
    channel: str = Field(pattern=r"^[a-z][a-z0-9-]{0,40}$")
    action: Literal["promote", "rollback"]
    version: Version
    disk: Digest
    at: Time


def history(moves: Iterable[Move], channel: str) -> list[str]:
    """Return the versions of `channel`, oldest first, current last, without those that were rolled back."""
    versions: list[str] = []
    for move in moves:
        if move.channel != channel:
            continue
        if move.action == "promote":
            versions.append(move.version)
        elif len(versions) > 1:
            versions.pop()
    return versions


def pointers(moves: Iterable[Move], newest: str | None) -> dict[str, str]:
    """Return channel -> version for one target, whose newest version is `newest`."""
    moves = list(moves)
    versions = {CANDIDATE: newest} if newest else {}
    for channel in dict.fromkeys(move.channel for move in moves):
        if found := history(moves, channel):
            versions[channel] = found[-1]
    stable = history(moves, STABLE)
    if len(stable) > 1:
        versions[PREVIOUS] = stable[-2]
    return versions


def check_name(channel: str) -> None:
    """Raise SpecError for a channel that is derived and cannot be set."""
    if channel in (CANDIDATE, PREVIOUS):
        raise SpecError(
            f"channel {channel}: updated automatically, cannot be set",
            "promote to stable, or to a channel name of your own",
        )
