"""Wait until a started machine's notebook answers with the certificate that its console named.

Nothing is trusted at first sight: the served certificate must be the one whose SHA-256 stands on the
console, which only this host can read.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import http.client
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import TypeVar

import tenacity

from notebake import process
from notebake.address import Address
from notebake.errors import NotReady
from notebake.machines import console, platforms
from notebake.machines.machine import Machine, save
from notebake.progress import Steps

LIMIT = 900.0  # seconds: a first boot that installs everything, under TCG, on two busy processors

_ANSWER_SECONDS = 20.0
# 200 or a way to the login page: any of them comes from a server that is up.
_ANSWERS = frozenset({200, 301, 302, 401, 403})

T = TypeVar("T")


class NotYet(Exception):
    """The reason why the machine is not ready yet; shown at the timeout."""


class Watch:
    """Waits for one machine; all its stages share one time limit (seconds).

    `up`: sshd has answered, so that a person can look into the machine. `failure`: what the machine
    reported last that went wrong, if anything.
    """

    def __init__(
        self,
        machine: Machine,
        *,
        steps: Steps,
        limit: float = LIMIT,
        secrets: Mapping[str, bytes] | None = None,
    ) -> None:
        self.machine = machine
        self.up = False
        self.failure: str | None = None
        self._steps = steps
        self._limit = limit
        self._secrets = secrets or {}
        self._end = time.monotonic() + limit

    def run(self) -> Machine:
        """Go through all stages; return the machine with its fingerprint, saved. Raises NotReady."""
        self.wait_for_sshd()
        self._deliver()
        with self._steps.step("certificate made"):
            fingerprint = self.poll("no certificate on the console", self._fingerprint)
        with self._steps.step("notebook answers"):
            fingerprint = self.poll("the notebook does not answer", self._notebook)
        return save(dataclasses.replace(self.machine, fingerprint=fingerprint))

    def wait_for_sshd(self) -> None:
        """Wait until a user can log in. Raises NotReady."""
        with self._steps.step("sshd answers"):
            self.poll("sshd does not answer", self._sshd)
            self.up = True

    def poll(self, what: str, look: Callable[[], T]) -> T:
        """Return what `look` returns once it raises neither NotYet nor a network error. Raises NotReady.

        `what` says what is not so when the time limit is over.
        """

        def attempt() -> T:
            running = platforms.look(self.machine)
            self.on_console(console.read(self.machine.console))
            if not running:
                raise self.not_ready("the machine's process ended")
            return look()

        polling = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type((NotYet, OSError, http.client.HTTPException)),
            wait=tenacity.wait_fixed(platforms.poll_seconds(self.machine)),
            stop=tenacity.stop_after_delay(max(0.0, self._end - time.monotonic())),
            reraise=True,
        )
        try:
            return polling(attempt)
        except (NotYet, OSError, http.client.HTTPException) as error:
            why = f"{what} after {self._limit:.0f} s: {error or type(error).__name__}"
            raise self.not_ready(why) from None

    def on_console(self, text: str) -> None:
        """Show each new failure in the console's `text`, and keep waiting: the machine retries.

        Called before each attempt; what it raises ends the wait.
        """
        failure = console.failure(text)
        if failure is not None and failure != self.failure:
            self.failure = failure
            self._steps.note(f"the machine reports: {failure}; it will retry")

    def _deliver(self) -> None:
        """Copy the request's secrets over ssh to root's files (0600): they are in no seed and no image."""
        for path, data in self._secrets.items():
            with self._steps.step(f"copy {PurePosixPath(path).name} over ssh"):
                install = ["sudo", "-n", "install", "-D", "-m", "600", "/dev/stdin", path]
                self.poll("ssh lets nobody in", functools.partial(self._over_ssh, install, data))

    def _over_ssh(self, command: list[str], data: bytes) -> None:
        done = self.machine.ssh.run(command, 120, stdin=data)
        if done.returncode != 0:
            raise NotYet(process.tail(done.stdout, 1))

    def not_ready(self, why: str) -> NotReady:
        """Return the error that says `why`, with the last lines of the console."""
        if self.failure is not None:
            why = f"{why}\nthe machine reports: {self.failure}"
        lines = console.tail(console.read(self.machine.console)) or "(nothing)"
        return NotReady(
            f"{self.machine.name}: {why}\nits console's last lines:\n{lines}",
            f"the whole console log is {self.machine.console}",
        )

    def _sshd(self) -> None:
        # QEMU's user network accepts any connection at once: only sshd's own first words count.
        with _connect(Address(host=self.machine.ssh.host, port=self.machine.ssh.port)) as connection:
            if not connection.recv(16).startswith(b"SSH-"):
                raise NotYet("the connection was closed")

    def _fingerprint(self) -> str:
        found = console.fingerprint(console.read(self.machine.console))
        if found is None:
            raise NotYet("nothing there yet")
        return found

    def _notebook(self) -> str:
        # Read each time: a machine that reboots while we wait may have made another certificate.
        pinned = self._fingerprint()
        served, status = answer(self.machine.address)
        if served != pinned:
            raise NotYet(f"its certificate is {served}, the console names {pinned}")
        if status not in _ANSWERS:
            raise NotYet(f"HTTP status {status}")
        return pinned


def answer(address: Address) -> tuple[str, int]:
    """(SHA-256 of the served certificate as `AB:CD:...`, HTTP status of GET /api), over one connection.

    Checks nothing: the caller compares the fingerprint. Raises OSError or http.client.HTTPException.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # pinned by the caller
    connection = http.client.HTTPSConnection(
        address.host, address.port, timeout=_ANSWER_SECONDS, context=context
    )
    try:
        connection.connect()
        assert isinstance(connection.sock, ssl.SSLSocket)
        served = connection.sock.getpeercert(binary_form=True) or b""
        connection.request("GET", f"{address.path}/api")
        status = connection.getresponse().status
    finally:
        connection.close()
    return _colons(served), status


def _colons(certificate: bytes) -> str:
    digest = hashlib.sha256(certificate).hexdigest().upper()
    return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))


def _connect(address: Address) -> socket.socket:
    connection = socket.create_connection((address.host, address.port), timeout=5)
    connection.settimeout(5)
    return connection
