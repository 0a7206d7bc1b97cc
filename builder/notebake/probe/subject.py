"""The subject of a probe: its address, the expected facts, and access to the machine."""

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
    """Return a SHA-256 fingerprint as 64 lower-case hex digits, without colons and a `sha256:` prefix.

    Raises SpecError for any other text.
    """
    digits = text.strip().lower().removeprefix("sha256:").removeprefix("sha-256:").replace(":", "").strip()
    if not _SHA256.fullmatch(digits):
        raise SpecError(
            f"fingerprint {text!r}: not a SHA-256 fingerprint",
            "use 64 hex digits, with or without colons, as the machine prints them on its console",
        )
    return digits


def shown_fingerprint(digits: str) -> str:
    """Return plain hex digits (`ab12...`) in the format of consoles and browsers: `AB:12:...`."""
    return bytes.fromhex(digits).hex(":").upper()


class Inside(Protocol):
    """Access to the machine: runs commands as a user with `sudo -n`."""

    def run(self, argv: Sequence[str], timeout: float) -> process.Completed:
        """Run `argv` with a timeout in seconds; accept any exit code. Raises CommandFailed on a timeout."""
        ...


@dataclass(frozen=True, kw_only=True)
class Canary:
    """A port that must be closed: `port` in the machine, for a listener, and its address from outside."""

    port: int
    address: Address


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One machine to probe. Raises SpecError for an invalid value.

    `fingerprint`: stored as plain hex; without one, only a publicly trusted certificate passes.
    `own_certificate`: whether the user provided the certificate (True) or the machine generated it; None if
    unknown. `names`: names that a generated certificate must contain; empty: the host of the address.
    `pylab`: the spec's value; with "inline" and "auto", plots are shown in the page. `metadata`: kernels can
    reach a cloud's metadata service. `offline`: the machine has no outgoing network. `image`: SHA-256 of the
    image that it was launched from. `timeout_scale`: multiplies every timeout.
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
    metadata: bool = False
    offline: bool = False
    image: str | None = None
    timeout_scale: float = 1.0

    def __post_init__(self) -> None:
        if self.fingerprint is not None:
            object.__setattr__(self, "fingerprint", plain_fingerprint(self.fingerprint))
        # Not valid in a header, and the message of http.client would contain the token.
        if self.token is not None and not (
            self.token.isascii() and self.token.isprintable() and self.token.strip() == self.token != ""
        ):
            raise SpecError(
                "the token is empty or contains invalid characters", "copy it again from the console"
            )
        if self.password == "":
            raise SpecError("the password is empty")
        if not 0 < self.timeout_scale <= 100:
            raise SpecError(f"timeout scale {self.timeout_scale}: must be more than 0 and at most 100")

    @property
    def secrets(self) -> tuple[str, ...]:
        """The password and the token, which must never be shown."""
        return tuple(secret for secret in (self.password, self.token) if secret)
