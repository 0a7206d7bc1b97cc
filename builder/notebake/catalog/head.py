"""The head: the signed statement on a whole catalog. What it does not list is not in the catalog.

`heads/NUMBER.dsse.json` is created by one conditional write, and each contains the digest of the one before:
of two writers one wins. `head.dsse.json` is a copy of the newest one, for readers. It is an in-toto statement
on the entry files, so with their digests it binds every byte of the catalog.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta

from pydantic import AwareDatetime, Field, ValidationError

from notebake.catalog import entry as entry_file
from notebake.catalog import signing
from notebake.catalog.channels import Move
from notebake.catalog.signing import Signer, SignerName
from notebake.errors import RecordError
from notebake.validation import Digest, StrictModel, first_problem

PATH = "head.dsse.json"
FOLDER = "heads"
# Three weekly runs of CI may fail before readers refuse a catalog.
VALID = timedelta(days=30)
# An identifier; nothing is served at this URL.
_PREDICATE = "https://notebake.invalid/head/v1"
_FILE = re.compile(r"(\d{6,10})\.dsse\.json")


class Head(StrictModel):
    """All of a catalog at one time.

    `catalog`: a random id that it keeps. `before`: digest of the previous head. `signers`: all that signed it
    so far; what the head lists may be signed by any of them. `entries`: TARGET@VERSION -> SHA-256 of the
    entry file. `digest`: SHA-256 of the signed statement.
    """

    catalog: str = Field(pattern=r"^[0-9a-f]{32}$")
    number: int = Field(ge=1, lt=10**10)
    before: Digest | None
    issued: AwareDatetime
    expires: AwareDatetime
    signers: tuple[SignerName, ...]
    moves: tuple[Move, ...]
    entries: dict[str, Digest] = Field(default_factory=dict, exclude=True)
    digest: str = Field("", exclude=True)

    def of(self, target: str) -> list[Move]:
        """Return the changes of the channels of `target`, oldest first."""
        return [move for move in self.moves if move.target == target]

    def sign(self, signer: Signer) -> bytes:
        """Return the signed statement."""
        subjects = {entry_file.path(*name.split("@")): digest for name, digest in self.entries.items()}
        return signer.sign(signing.statement(_PREDICATE, self.model_dump(mode="json"), subjects))


def parse(payload: bytes, *, source: str) -> Head:
    """Return the head in a statement. Raises RecordError, naming `source`."""
    content = signing.read(payload, _PREDICATE, source=source)
    try:
        entries = {entry_file.name(file["name"]): file["digest"]["sha256"] for file in content["subject"]}
        digest = hashlib.sha256(payload).hexdigest()
        return Head.model_validate(content["predicate"] | {"entries": entries, "digest": digest})
    except ValidationError as error:
        raise RecordError(f"{source}: not the head of a catalog: {first_problem(error)}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"{source}: not the head of a catalog: {error}") from None


def path(number: int) -> str:
    """Return the path of a head, relative to the catalog."""
    return f"{FOLDER}/{number:06}.dsse.json"


def numbers(names: list[str]) -> list[int]:
    """Return the numbers of the heads among the names in FOLDER, sorted."""
    return sorted(int(match[1]) for name in names if (match := _FILE.fullmatch(name)))


def following(
    before: Head | None,
    *,
    signer: Signer,
    now: datetime,
    entries: Mapping[str, str] | None = None,
    moves: tuple[Move, ...] | None = None,
    valid: timedelta | None = None,
) -> Head:
    """Return the head that follows `before`, which is None for a new catalog.

    `entries`, `moves`: unchanged if None. It is valid for as long as the one before was, or for `valid`.
    """
    first = Head(
        catalog=secrets.token_hex(16), number=1, before=None, issued=now, expires=now + (valid or VALID),
        signers=signer.verifier.signers, moves=moves or (), entries=dict(entries or {}),
    )  # fmt: skip
    if before is None:
        return first
    return first.model_copy(
        update={
            "catalog": before.catalog,
            "number": before.number + 1,
            "before": before.digest,
            "expires": now + (valid or before.expires - before.issued),
            "signers": tuple(dict.fromkeys((*before.signers, *first.signers))),
            "moves": before.moves if moves is None else moves,
            "entries": before.entries if entries is None else dict(entries),
        }
    )
