"""What a probe is run against: where it answers, what it must show, and the way inside."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from notebake import process
from notebake.address import Address
from notebake.errors import SpecError

_SHA256 = re.compile(r"[0-9a-f]{64}")


def plain_fingerprint(text: str) -> str:
    """A SHA-256 fingerprint as 64 lower-case hex digits; colons and a `sha256:` before it are dropped.

    Raises SpecError for anything else.
    """
    digits = text.strip().lower().removeprefix("sha256:").removeprefix("sha-256:").replace(":", "").strip()
    if not _SHA256.fullmatch(digits):
        raise SpecError(
            f"fingerprint {text!r}: not a SHA-256 fingerprint",
            "64 hex digits, with or without colons, as the machine shows them on its console",
        )
    return digits


def shown_fingerprint(digits: str) -> str:
    """`ab12...` as consoles and browsers show it: `AB:12:...`."""
    return bytes.fromhex(digits).hex(":").upper()


class Inside(Protocol):
    """A way to run commands in the machine as a user who may `sudo -n`."""

    def run(self, argv: Sequence[str], timeout: float) -> process.Completed:
        """Run `argv`, at most `timeout` seconds; any exit code is returned, CommandFailed is a time-out."""
        ...


@dataclass(frozen=True, kw_only=True)
class Canary:
    """A port that must be closed: `port` inside, where a listener is started, and its address outside."""

    port: int
    address: Address


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One machine to probe.

    `fingerprint` is stored as plain hex; without one only a publicly trusted certificate passes.
    `own_certificate`: whether the owner brought the certificate (True) or it was made on the machine; None
    when nobody knows. `names` are the names that a certificate made on the machine must carry; without any,
    the address's own host.
    `pylab` is the spec's value: "inline" and "auto" put a plot into the page.
    `patience` multiplies every time limit. Raises SpecError for a value no machine could have.
    """

    address: Address
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    fingerprint: str | None = None
    own_certificate: bool | None = None
    names: tuple[str, ...] = ()
    profile: str = "nbserver"
    pylab: str = "inline"
    service: str = "notebake-notebook.service"
    inside: Inside | None = None
    canary: Canary | None = None
    patience: float = 1.0

    def __post_init__(self) -> None:
        if self.fingerprint is not None:
            object.__setattr__(self, "fingerprint", plain_fingerprint(self.fingerprint))
        # Such a token could not be a header's value, and http.client's message would show it.
        if self.token is not None and not (
            self.token.isascii() and self.token.isprintable() and self.token.strip() == self.token != ""
        ):
            raise SpecError(
                "the token is empty or has characters that no token has", "copy it again from the console"
            )
        if self.password == "":
            raise SpecError("the password is empty")
        if not 0 < self.patience <= 100:
            raise SpecError(f"patience {self.patience}: more than 0 and at most 100")

    @property
    def secrets(self) -> tuple[str, ...]:
        """What may never be shown."""
        return tuple(secret for secret in (self.password, self.token) if secret)
