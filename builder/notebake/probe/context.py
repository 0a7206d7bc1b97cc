"""The state of one probe: results that later checks reuse, such as the login and the kernel.

A step that failed is not tried again: the next check that requires it fails with `needs NAME`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from notebake import process
from notebake.errors import CheckFailed, CommandFailed, NotebakeError, NotReady
from notebake.probe import connection
from notebake.probe.kernel import Kernel
from notebake.probe.session import Session
from notebake.probe.subject import Inside, Subject
from notebake.probe.trust import trusted

T = TypeVar("T")

# Timeouts in seconds for a machine under TCG with two processors; multiplied by `Subject.timeout_scale`.
HANDSHAKE = 20.0
REQUEST = 40.0
KERNEL_START = 150.0
CELL = 180.0
COMMAND = 60.0
SILENCE = 5.0
RESTART = 240.0
REBOOT = 600.0


@dataclass(kw_only=True)
class Context:
    """One probe of `subject`, started at `now` (timezone-aware)."""

    subject: Subject
    now: datetime
    _handshake: connection.Handshake | None = field(default=None, repr=False)
    _pin: str | None = None
    _session: Session | None = field(default=None, repr=False)
    _kernel: Kernel | None = field(default=None, repr=False)
    _failed: dict[str, str] = field(default_factory=dict)

    def seconds(self, limit: float) -> float:
        """Return a timeout of this module for this machine."""
        return limit * self.subject.timeout_scale

    def _once(self, name: str, step: Callable[[], T]) -> T:
        """Run `step`. If it failed before, raise CheckFailed with the first reason instead."""
        if name in self._failed:
            raise CheckFailed(f"needs {name}: {self._failed[name]}")
        try:
            return step()
        except NotebakeError as error:
            self._failed[name] = error.message.split("\n")[0]
            raise

    def handshake(self) -> connection.Handshake:
        """Return the handshake, without verifying the certificate. Raises NotReady."""
        if self._handshake is None:
            self._handshake = self._once(
                "tls", lambda: connection.shake_hands(self.subject.address, seconds=self.seconds(HANDSHAKE))
            )
        return self._handshake

    def pin(self) -> str:
        """Return the fingerprint (plain hex) that every later connection must have. Raises CheckFailed."""
        if self._pin is None:
            handshake = self.handshake()
            self._pin = self._once(
                "fingerprint", lambda: trusted(self.subject, handshake, seconds=self.seconds(HANDSHAKE))
            )
        return self._pin

    def anonymous(self) -> Session:
        """Return a new session without credentials."""
        return Session(address=self.subject.address, fingerprint=self.pin())

    def session(self) -> Session:
        """Return the logged-in session; log in at the first call. Raises CheckFailed, NotReady."""
        if self._session is None:
            session = self.anonymous()
            self._session = self._once("login", lambda: self._log_in(session))
        return self._session

    def _log_in(self, session: Session) -> Session:
        seconds = self.seconds(REQUEST)
        if self.subject.password is not None:
            response = session.log_in(self.subject.password, seconds=seconds)
            if response.status not in (200, 302, 303):
                raise CheckFailed(f"POST /login: status {response.status}, the password is rejected")
        elif self.subject.token is not None:
            session.token = self.subject.token
        else:
            raise CheckFailed("neither a password nor a token was given")
        if not session.accepted(seconds=seconds):
            raise CheckFailed("GET /api/status: access is denied after the login")
        return session

    def kernel(self) -> Kernel:
        """Return the kernel that all checks share: starting one takes a minute on a slow machine."""
        if self._kernel is None:
            session = self.session()
            self._kernel = self._once(
                "a kernel",
                lambda: Kernel.start(session, self.subject.profile, seconds=self.seconds(KERNEL_START)),
            )
        return self._kernel

    def inside(self) -> Inside:
        """Return the access to the machine. Raises CheckFailed without: such checks should be skipped."""
        if self.subject.inside is None:
            raise CheckFailed("there is no ssh access to this machine")
        return self.subject.inside

    def command(self, *argv: str, seconds: float | None = None) -> process.Completed:
        """Run a command on the machine; any exit code is accepted. Raises CommandFailed on a timeout."""
        return self.inside().run(argv, self.seconds(COMMAND if seconds is None else seconds))

    def output(self, *argv: str) -> str:
        """Run a command on the machine and return its output, stripped. Raises CommandFailed if it fails."""
        done = self.command(*argv)
        if done.returncode != 0:
            last = process.tail(done.stdout, 3)
            raise CommandFailed(f"on the machine: {argv[0]}: exit code {done.returncode}\n{last}")
        return done.stdout.decode("utf-8", "replace").strip()

    def forget(self) -> None:
        """Drop the session and the kernel after a server restart; the next check creates new ones."""
        self._session = self._kernel = None
        for name in ("login", "a kernel"):
            self._failed.pop(name, None)

    def leave(self) -> None:
        """Stop the kernel; ignore errors, because the machine may be down."""
        kernel, self._kernel = self._kernel, None
        if kernel is not None:
            with suppress(NotebakeError):
                kernel.stop(seconds=self.seconds(HANDSHAKE))

    def wait(self, what: str, limit: float, attempt: Callable[[], T]) -> T:
        """Call `attempt` once a second until it raises neither NotReady nor CommandFailed. Return its result.

        Raises NotReady with the last error when the timeout is over.
        """
        seconds = self.seconds(limit)
        retrying = Retrying(
            stop=stop_after_delay(seconds),
            wait=wait_fixed(1),
            retry=retry_if_exception_type((NotReady, CommandFailed)),
        )
        try:
            return retrying(attempt)
        except RetryError as error:
            last = error.last_attempt.exception()
            raise NotReady(f"{what}: not within {seconds:.0f} s; last error: {last}") from None

    def wait_for_notebook(self, limit: float) -> None:
        """Wait until the server accepts requests with the same certificate. Raises NotReady, CheckFailed."""

        def responds() -> None:
            status = self.anonymous().request("GET", "/login", seconds=self.seconds(HANDSHAKE)).status
            if status >= 500:
                raise NotReady(f"GET /login: status {status}")

        self.wait("the notebook server responds again", limit, responds)
