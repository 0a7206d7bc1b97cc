"""The state of one probe: what a check found out once and the later ones build on.

A thing that failed is not tried again: the next check that wants it fails with `needs NAME`.
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

# Seconds, for a machine under TCG with two processors; `Subject.patience` multiplies them.
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
    """One probe of `subject`; `now` (aware) is when it was started."""

    subject: Subject
    now: datetime
    _handshake: connection.Handshake | None = field(default=None, repr=False)
    _pin: str | None = None
    _session: Session | None = field(default=None, repr=False)
    _kernel: Kernel | None = field(default=None, repr=False)
    _failed: dict[str, str] = field(default_factory=dict)

    def seconds(self, limit: float) -> float:
        """One of this module's limits, for this machine."""
        return limit * self.subject.patience

    def _once(self, name: str, make: Callable[[], T]) -> T:
        """Run `make`; when it failed before, say which check it was that failed."""
        if name in self._failed:
            raise CheckFailed(f"needs {name}: {self._failed[name]}")
        try:
            return make()
        except NotebakeError as error:
            # What failed for want of something else keeps that reason.
            self._failed[name] = error.message.split("\n")[0]
            raise

    def handshake(self) -> connection.Handshake:
        """What the machine shows to anyone. Raises NotReady."""
        if self._handshake is None:
            self._handshake = self._once(
                "tls", lambda: connection.shake_hands(self.subject.address, seconds=self.seconds(HANDSHAKE))
            )
        return self._handshake

    def pin(self) -> str:
        """The fingerprint (plain hex) that every later connection must show. Raises CheckFailed."""
        if self._pin is None:
            seen = self.handshake()
            self._pin = self._once(
                "fingerprint", lambda: trusted(self.subject, seen, seconds=self.seconds(HANDSHAKE))
            )
        return self._pin

    def anonymous(self) -> Session:
        """A new session without credentials."""
        return Session(address=self.subject.address, fingerprint=self.pin())

    def session(self) -> Session:
        """The session that is logged in. Raises CheckFailed, NotReady."""
        if self._session is None:
            session = self.anonymous()
            self._session = self._once("login", lambda: self._log_in(session))
        return self._session

    def _log_in(self, session: Session) -> Session:
        seconds = self.seconds(REQUEST)
        if self.subject.password is not None:
            answer = session.log_in(self.subject.password, seconds=seconds)
            if answer.status not in (200, 302, 303):
                raise CheckFailed(f"POST /login: status {answer.status}, the password is refused")
        elif self.subject.token is not None:
            session.token = self.subject.token
        else:
            raise CheckFailed("neither password nor token was given")
        if not session.accepted(seconds=seconds):
            raise CheckFailed("/api/status is refused after the login")
        return session

    def kernel(self) -> Kernel:
        """The kernel that the checks share: starting one takes a minute on a slow machine."""
        if self._kernel is None:
            session = self.session()
            self._kernel = self._once(
                "a kernel",
                lambda: Kernel.start(session, self.subject.profile, seconds=self.seconds(KERNEL_START)),
            )
        return self._kernel

    def inside(self) -> Inside:
        """The way in; CheckFailed when there is none (such checks are skipped before)."""
        if self.subject.inside is None:
            raise CheckFailed("there is no way into this machine")
        return self.subject.inside

    def command(self, *argv: str, seconds: float | None = None) -> process.Completed:
        """Run a command inside, any exit code. Raises CommandFailed after the time limit."""
        return self.inside().run(argv, self.seconds(COMMAND if seconds is None else seconds))

    def output(self, *argv: str) -> str:
        """What a command inside prints, stripped. Raises CommandFailed when it fails."""
        done = self.command(*argv)
        if done.returncode != 0:
            last = process.tail(done.stdout, 3)
            raise CommandFailed(f"inside: {argv[0]}: exit code {done.returncode}\n{last}")
        return done.stdout.decode("utf-8", "replace").strip()

    def forget(self) -> None:
        """The server was restarted: log in and start a kernel anew when they are needed."""
        self._session = self._kernel = None
        for name in ("login", "a kernel"):
            self._failed.pop(name, None)

    def leave(self) -> None:
        """End the kernel; silent, because the machine may be gone."""
        kernel, self._kernel = self._kernel, None
        if kernel is not None:
            with suppress(NotebakeError):
                kernel.stop(seconds=self.seconds(HANDSHAKE))

    def wait(self, what: str, limit: float, attempt: Callable[[], T]) -> T:
        """`attempt` once a second until it raises neither NotReady nor CommandFailed.

        Raises NotReady with what was seen last when the limit is over.
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
            raise NotReady(f"{what}: not within {seconds:.0f} s; last seen: {last}") from None

    def wait_for_notebook(self, limit: float) -> None:
        """Until the server takes requests again with the same certificate. Raises NotReady, CheckFailed."""

        def answers() -> None:
            status = self.anonymous().request("GET", "/login", seconds=self.seconds(HANDSHAKE)).status
            if status >= 500:
                raise NotReady(f"GET /login: status {status}")

        self.wait("the notebook answers again", limit, answers)
