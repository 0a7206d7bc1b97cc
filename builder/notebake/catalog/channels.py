"""Channels: names that point to a version. A move is one signed file more, none is ever written over.

`channels/TARGET/NUMBER.dsse.json`; each holds the SHA-256 of the one before it, so that none can be taken
out or changed. `candidate` is the newest version and `previous` what stable was before: they follow
by themselves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Literal

from pydantic import AwareDatetime, Field, ValidationError

from notebake.catalog import signing
from notebake.catalog.signing import Signer, Verifier
from notebake.catalog.storage import Storage
from notebake.errors import RecordError, SpecError
from notebake.validation import StrictModel, TargetName, Version

# A name of ours: nothing is served there.
_PREDICATE = "https://notebake.invalid/channel/v1"
STABLE = "stable"
CANDIDATE = "candidate"
PREVIOUS = "previous"


class Move(StrictModel):
    """A channel of a target was pointed to `version`, whose disk has the SHA-256 `disk`.

    `before`: SHA-256 of the move before, whole file.
    """

    number: int = Field(ge=1)
    target: TargetName
    channel: str = Field(pattern=r"^[a-z][a-z0-9-]{0,40}$")
    action: Literal["promote", "rollback"]
    version: Version
    disk: str = Field(pattern=r"^[0-9a-f]{64}$")
    at: AwareDatetime
    before: str | None


def folder(target: str) -> str:
    """Where a target's moves are."""
    return f"channels/{target}"


def moves(storage: Storage, target: str, maker: Verifier | None = None) -> list[Move]:
    """All moves of a target, in order; signatures checked where `maker` is given. Raises RecordError."""
    found: list[Move] = []
    before = None
    for name in _names(storage, target):
        source = f"{folder(target)}/{name}"
        data = storage.read(source)
        payload = maker.verify(data, source=source) if maker else signing.unverified(data, source=source)
        try:
            move = Move.model_validate(signing.read(payload, _PREDICATE, source=source)["predicate"])
        except (ValidationError, KeyError) as error:
            raise RecordError(f"{source}: not a move of a channel: {str(error).splitlines()[0]}") from None
        if (move.number, move.before, move.target) != (len(found) + 1, before, target):
            raise RecordError(f"{source}: does not follow the move before it: one was changed or taken out")
        before = hashlib.sha256(data).hexdigest()
        found.append(move)
    return found


def _names(storage: Storage, target: str) -> list[str]:
    if storage.lists:
        return storage.names(folder(target))
    # A web server: one after the other, until there is none.
    names: list[str] = []
    while True:
        name = _name(len(names) + 1)
        try:
            storage.read(f"{folder(target)}/{name}")
        except FileNotFoundError:
            return names
        names.append(name)


def _name(number: int) -> str:
    return f"{number:06}.dsse.json"


def history(found: Iterable[Move], channel: str) -> list[str]:
    """What `channel` was, oldest first, with what a rollback took back left out; the last is what it is."""
    versions: list[str] = []
    for move in found:
        if move.channel != channel:
            continue
        if move.action == "promote":
            versions.append(move.version)
        elif len(versions) > 1:
            versions.pop()
    return versions


def pointers(found: Iterable[Move], newest: str | None) -> dict[str, str]:
    """Channel -> version, of one target whose newest version is `newest`."""
    rows = list(found)
    made = {CANDIDATE: newest} if newest else {}
    for channel in dict.fromkeys(move.channel for move in rows):
        made[channel] = history(rows, channel)[-1]
    stable = history(rows, STABLE)
    if len(stable) > 1:
        made[PREVIOUS] = stable[-2]
    return made


def check_name(channel: str) -> None:
    """SpecError for a channel that cannot be moved by hand."""
    if channel in (CANDIDATE, PREVIOUS):
        raise SpecError(
            f"channel {channel}: follows by itself", "promote to stable, or to a channel of your own name"
        )


def append(storage: Storage, move: Move, signer: Signer) -> None:
    """Write a move. Raises RecordError when somebody else moved a channel of this target meanwhile."""
    subject = {f"{move.target}@{move.version}": move.disk}
    data = signer.sign(signing.statement(_PREDICATE, move.model_dump(mode="json"), subject))
    path = f"{folder(move.target)}/{_name(move.number)}"
    try:
        storage.create(path, data)
    except FileExistsError:
        raise RecordError(
            f"{move.target}: somebody else moved a channel at the same time; this move was not made",
            f"look at `notebake catalog list {move.target}`, then do it again if it is still right",
        ) from None


def tip(storage: Storage, target: str) -> str | None:
    """SHA-256 (hex) of the last move's file; None before the first."""
    names = _names(storage, target)
    return hashlib.sha256(storage.read(f"{folder(target)}/{names[-1]}")).hexdigest() if names else None
