"""Whom this host trusts to sign a catalog, and the newest head that it saw of it.

Signers are pinned once, in trust.json of the config folder. What was seen is in the state folder: an older
head is refused, even with a good signature.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from filelock import FileLock
from pydantic import Field

from notebake import validation
from notebake.catalog import signing
from notebake.catalog.head import Head
from notebake.catalog.signing import SignerName, Verifier
from notebake.documents import DocumentError
from notebake.errors import MissingTool, RecordError
from notebake.files import write_whole
from notebake.validation import Digest, StrictModel

# The clocks of two hosts differ a little; with a larger difference, one of them is wrong.
SKEW = timedelta(minutes=5)


@dataclass(frozen=True)
class Signers:
    """Verifies signatures by any of `signers`. `sigstore`: a client trust config for the identities."""

    signers: tuple[SignerName, ...]
    sigstore: Path | None = None

    def verify(self, data: bytes, *, source: str) -> bytes:
        """Return the statement in an envelope. Raises RecordError, naming `source`; CommandFailed."""
        errors = []
        for signer in self.signers:
            try:
                return self._verifier(signer).verify(data, source=source)
            except RecordError as error:
                errors.append(error)
        if len(errors) == 1:
            raise errors[0]
        names = ", ".join(signer.title for signer in self.signers)
        raise RecordError(f"{source}: not signed by any of {names}, or changed after signing")

    def _verifier(self, signer: SignerName) -> Verifier:
        if signer.public_key is not None:
            return signing.named_key(signer)
        try:
            from notebake.catalog.keyless import Identity
        except ModuleNotFoundError:
            raise MissingTool(
                f"{signer.title}: requires sigstore to verify", "pip install 'notebake[sigstore]'"
            ) from None
        return Identity(identity=str(signer.identity), issuer=str(signer.issuer), trust=self.sigstore)

    def plus(self, more: tuple[SignerName, ...]) -> Signers:
        """Return these signers and `more`."""
        return Signers(tuple(dict.fromkeys((*self.signers, *more))), self.sigstore)


def together(*verifiers: Verifier) -> Signers:
    """Return the signers of all `verifiers` as one verifier."""
    sigstore = [path for each in verifiers if (path := getattr(each, "sigstore", None))]
    names = [name for each in verifiers for name in each.signers]
    return Signers(tuple(dict.fromkeys(names)), sigstore[0] if sigstore else None)


class _Pins(StrictModel):
    signers: tuple[SignerName, ...] = Field(min_length=1)
    sigstore: Path | None = None


class _Config(StrictModel):
    catalogs: dict[str, _Pins]


@dataclass(frozen=True)
class Pins:
    """The signers that this host trusts, for each catalog, in the file `path`."""

    path: Path

    def read(self, url: str) -> Signers | None:
        """Return the trusted signers of the catalog at `url`, or None. Raises RecordError."""
        pins = self._load().get(url)
        return Signers(pins.signers, pins.sigstore) if pins else None

    def write(self, url: str, signers: Signers | None) -> None:
        """Replace the trusted signers of the catalog at `url`; None trusts nobody. Raises CommandFailed."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path.with_suffix(".lock")):
            known = self._load()
            known.pop(url, None)
            if signers is not None:
                known[url] = _Pins(signers=signers.signers, sigstore=signers.sigstore)
            content = _Config(catalogs=known).model_dump(mode="json", exclude_none=True)
            write_whole(self.path, (json.dumps(content, indent=1) + "\n").encode(), 0o600)

    def _load(self) -> dict[str, _Pins]:
        try:
            return dict(validation.parse(_Config, self.path.read_bytes()).catalogs)
        except FileNotFoundError:
            return {}
        except DocumentError as error:
            raise RecordError(
                f"{self.path}: not a list of trusted signers: {error}",
                "remove the file, then run `notebake catalog trust` for each catalog",
            ) from None


class _Seen(StrictModel):
    url: str
    catalog: str
    number: int
    digest: Digest


@dataclass(frozen=True)
class Memory:
    """The newest head that this host saw of each catalog, in files below `folder`."""

    folder: Path

    def _path(self, url: str) -> Path:
        return self.folder / f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.json"

    def seen(self, url: str) -> _Seen | None:
        """Return what was seen of the catalog at `url`, or None. Raises RecordError."""
        try:
            return validation.parse(_Seen, self._path(url).read_bytes())
        except FileNotFoundError:
            return None
        except DocumentError as error:
            raise RecordError(
                f"{self._path(url)}: not what was seen of a catalog: {error}",
                f"remove the file, then run `notebake catalog trust` for {url}",
            ) from None

    def remember(self, url: str, head: Head) -> None:
        """Refuse a head older than the one that was seen, else remember it. Raises RecordError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._path(url)
        with FileLock(path.with_suffix(".lock")):
            seen = self.seen(url)
            if seen is not None:
                _check_newer(url, head, seen)
            if seen is None or seen.number < head.number:
                found = _Seen(url=url, catalog=head.catalog, number=head.number, digest=head.digest)
                write_whole(path, found.model_dump_json().encode())

    def forget(self, url: str) -> None:
        """Forget what was seen of the catalog at `url`."""
        self._path(url).unlink(missing_ok=True)


def _check_newer(url: str, head: Head, seen: _Seen) -> None:
    if head.catalog != seen.catalog:
        what = "is another catalog than the one that this host saw here before"
    elif head.number < seen.number:
        what = (
            f"its head is number {head.number}, but this host saw number {seen.number} already: "
            "the catalog was set back"
        )
    elif head.number == seen.number and head.digest != seen.digest:
        what = f"its head number {head.number} is another one than this host saw before"
    else:
        return
    raise RecordError(
        f"{url}: {what}",
        "ask its owner. If a write was interrupted, `notebake catalog verify --rebuild-index` completes it; "
        "if the catalog was replaced on purpose, use `notebake catalog trust --reset`",
    )


@dataclass(frozen=True)
class Trust:
    """Verifies heads: signed by one of `signers`, not expired at `now`, not older than one seen before.

    `writer`: who is about to sign the next head. It may follow an expired one if it is the newest that this
    host saw, or any if `expired`. It must be one of those who signed before, unless `new`.
    """

    signers: Signers
    now: datetime
    memory: Memory | None = None
    writer: tuple[SignerName, ...] = field(default=(), kw_only=True)
    expired: bool = field(default=False, kw_only=True)
    new: bool = field(default=False, kw_only=True)

    def check(self, url: str, head: Head) -> None:
        """Raise RecordError for a head that is expired, set back, or from another catalog; remember it."""
        if head.issued > self.now + SKEW:
            raise RecordError(
                f"{url}: the clock of this host says {self.now:%Y-%m-%d %H:%M} UTC, but the catalog was "
                f"signed on {head.issued:%Y-%m-%d %H:%M} UTC: one of the two clocks is wrong",
                "set the clock and run the same command again",
            )
        seen = self.memory.seen(url) if self.memory else None
        newest = self.writer and seen is not None and seen.digest == head.digest
        if head.expires < self.now - SKEW and not self.expired and not newest:
            raise RecordError(
                f"{url}: its signed head expired on {head.expires:%Y-%m-%d}: newer versions may be hidden",
                "its owner runs `notebake catalog refresh`, as CI does each week; with --expired on a host "
                "that has not seen this head before, if nothing newer is missing",
            )
        if self.writer and not self.new and not {*self.writer} & {*head.signers}:
            raise RecordError(
                f"{url}: {self.writer[0].title} never signed this catalog",
                "check the key; to let it sign from now on: notebake catalog refresh --new-signer",
            )
        if self.memory:
            self.memory.remember(url, head)
