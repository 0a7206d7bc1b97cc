"""Channels: names that point to a version. Each change adds one signed file; none is ever overwritten.

`channels/TARGET/NUMBER.dsse.json`: each contains the SHA-256 of the previous one, so that none can be
removed or changed unnoticed. `candidate` is the newest version and `previous` the version that stable
pointed to before: both are derived.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Literal

from pydantic import Field, ValidationError

from notebake import documents
from notebake.catalog import signing
from notebake.catalog.signing import Signer, Verifier
from notebake.catalog.storage import Denied, Storage
from notebake.documents import DocumentError
from notebake.errors import RecordError, SpecError
from notebake.validation import StrictModel, TargetName, Time, Version

# An identifier; nothing is served at this URL.
_PREDICATE = "https://notebake.invalid/channel/v1"
STABLE = "stable"
CANDIDATE = "candidate"
PREVIOUS = "previous"


class Move(StrictModel):
    """One change of a channel: it now points to `version`, whose disk has the SHA-256 `disk`.

    `before`: SHA-256 of the previous move's file.
    """

    number: int = Field(ge=1)
    target: TargetName
    channel: str = Field(pattern=r"^[a-z][a-z0-9-]{0,40}$")
    action: Literal["promote", "rollback"]
    version: Version
    disk: str = Field(pattern=r"^[0-9a-f]{64}$")
    at: Time
    before: str | None


def folder(target: str) -> str:
    """Return the folder of a target's moves."""
    return f"channels/{target}"


def moves(storage: Storage, target: str, verifier: Verifier | None = None) -> list[Move]:
    """Return all moves of a target, in order; verify signatures with `verifier`. Raises RecordError."""
    chain: list[Move] = []
    before = None
    for name in _names(storage, target):
        source = f"{folder(target)}/{name}"
        data = storage.read(source)
        if verifier:
            payload = verifier.verify(data, source=source)
        else:
            payload = signing.unverified(data, source=source)
        try:
            move = Move.model_validate(signing.read(payload, _PREDICATE, source=source)["predicate"])
        except (ValidationError, KeyError) as error:
            raise RecordError(f"{source}: not a channel move: {str(error).splitlines()[0]}") from None
        if (move.number, move.before, move.target) != (len(chain) + 1, before, target):
            raise RecordError(f"{source}: does not follow the previous move: one was changed or removed")
        before = hashlib.sha256(data).hexdigest()
        chain.append(move)
    return chain


def _names(storage: Storage, target: str) -> list[str]:
    if storage.lists:
        return storage.names(folder(target))
    # A web server has no listing: try the numbers in order until one is missing.
    names: list[str] = []
    while True:
        name = _name(len(names) + 1)
        try:
            documents.parse_json(storage.read(f"{folder(target)}/{name}"))
        except (FileNotFoundError, Denied, DocumentError):
            # Where listing is not allowed S3 denies what is missing. Some servers answer with a page.
            return names
        names.append(name)


def _name(number: int) -> str:
    return f"{number:06}.dsse.json"


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
        versions[channel] = history(moves, channel)[-1]
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


def append(storage: Storage, move: Move, signer: Signer) -> None:
    """Write a move. Raises RecordError if another writer changed a channel of this target meanwhile."""
    subject = {f"{move.target}@{move.version}": move.disk}
    data = signer.sign(signing.statement(_PREDICATE, move.model_dump(mode="json"), subject))
    path = f"{folder(move.target)}/{_name(move.number)}"
    try:
        storage.create(path, data)
    except FileExistsError:
        raise RecordError(
            f"{move.target}: another writer changed a channel at the same time; nothing was changed",
            f"check `notebake catalog list {move.target}`, then run the same command again if needed",
        ) from None


def tip(storage: Storage, target: str) -> str | None:
    """Return the SHA-256 (hex) of the last move's file, or None if there is none."""
    names = _names(storage, target)
    return hashlib.sha256(storage.read(f"{folder(target)}/{names[-1]}")).hexdigest() if names else None
