"""Watches a started machine until its notebook answers over the certificate its console named.

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
from notebake.errors import NotReady
from notebake.machines import console
from notebake.machines.machine import Address, Machine, save
from notebake.machines.ssh import ssh_argv
from notebake.progress import Steps

LIMIT = 900.0  # seconds: a first boot that installs everything, under TCG, on two busy processors

_POLL_SECONDS = 0.5
_ANSWER_SECONDS = 20.0
# 200 or a way to the login page: any of them comes from a server that is up.
_ANSWERS = frozenset({200, 301, 302, 401, 403})

T = TypeVar("T")


class _NotYet(Exception):
    """The reason why the machine is not so far; shown when the time is over."""


class Watch:
    """Waits for one machine; all its stages share one time limit (seconds)."""

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
        """Whether sshd has answered: from then on a person can look into the machine."""
        self._steps = steps
        self._limit = limit
        self._secrets = secrets or {}
        self._told: str | None = None
        self._end = time.monotonic() + limit

    def run(self) -> Machine:
        """Go through all stages; returns the machine with its fingerprint, saved. Raises NotReady."""
        with self._steps.step("sshd answers"):
            self._poll("sshd does not answer", self._sshd)
            self.up = True
        self._deliver()
        with self._steps.step("certificate made"):
            fingerprint = self._poll("no certificate on the console", self._fingerprint)
        with self._steps.step("notebook answers"):
            fingerprint = self._poll("the notebook does not answer", self._notebook)
        return save(dataclasses.replace(self.machine, fingerprint=fingerprint))

    def _poll(self, what: str, look: Callable[[], T]) -> T:
        def attempt() -> T:
            self._tell()
            if not self.machine.alive():
                raise self._failed("the machine's process ended")
            return look()

        polling = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type((_NotYet, OSError, http.client.HTTPException)),
            wait=tenacity.wait_fixed(_POLL_SECONDS),
            stop=tenacity.stop_after_delay(max(0.0, self._end - time.monotonic())),
            reraise=True,
        )
        try:
            return polling(attempt)
        except (_NotYet, OSError, http.client.HTTPException) as error:
            why = f"{what} after {self._limit:.0f} s: {error or type(error).__name__}"
            raise self._failed(why) from None

    def _tell(self) -> None:
        """Show each new failure that the guest reports, and go on waiting: the guest tries again too."""
        failure = console.failure(console.read(self.machine.console))
        if failure is not None and failure != self._told:
            self._told = failure
            self._steps.note(f"the machine says: {failure}; it tries again")

    def _deliver(self) -> None:
        """Hand the secrets of the request over ssh to root's files, 0600: they are in no seed and no image."""
        for path, data in self._secrets.items():
            with self._steps.step(f"copy {PurePosixPath(path).name} over ssh"):
                install = ["sudo", "-n", "install", "-D", "-m", "600", "/dev/stdin", path]
                self._poll("ssh lets nobody in", functools.partial(self._over_ssh, install, data))

    def _over_ssh(self, command: list[str], data: bytes) -> None:
        done = process.run(ssh_argv(self.machine, command), timeout=120, stdin=data, check=False)
        if done.returncode != 0:
            raise _NotYet(process.tail(done.stdout, 1))

    def _failed(self, why: str) -> NotReady:
        if self._told is not None:
            why = f"{why}\nthe machine says: {self._told}"
        said = console.tail(console.read(self.machine.console)) or "(nothing)"
        return NotReady(
            f"{self.machine.name}: {why}\nits console's last lines:\n{said}",
            f"the whole console log is {self.machine.console}",
        )

    def _sshd(self) -> None:
        # QEMU's user network accepts any connection at once: only sshd's own first words count.
        with _connect(Address(host=self.machine.ssh.host, port=self.machine.ssh.port)) as connection:
            if not connection.recv(16).startswith(b"SSH-"):
                raise _NotYet("the connection was closed")

    def _fingerprint(self) -> str:
        found = console.fingerprint(console.read(self.machine.console))
        if found is None:
            raise _NotYet("nothing there yet")
        return found

    def _notebook(self) -> str:
        # Read anew each time: a machine that reboots while we wait may have made another certificate.
        pinned = self._fingerprint()
        served, status = answer(self.machine.address)
        if served != pinned:
            raise _NotYet(f"its certificate is {served}, the console names {pinned}")
        if status not in _ANSWERS:
            raise _NotYet(f"HTTP status {status}")
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
        connection.request("GET", "/api")
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
