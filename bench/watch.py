"""The moments at which a machine's sshd and its notebook first answer, counted from its process's start.

`lifecycle.start` waits too, but one port after the other and up to seconds a try: QEMU's user network
takes a connection long before the guest can answer it. Here both ports are asked at once, with a new
connection every half second while older ones are still open, so that both moments are as exact.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from notebake.address import Address
from notebake.errors import NotebakeError
from notebake.machines import machine
from notebake.machines.machine import Machine

_EVERY_SECONDS = 0.5
_TRY_SECONDS = 10.0  # a busy emulated machine takes seconds to answer its first request
_IN_FLIGHT = 24
_ANSWERS = frozenset({200, 301, 302, 401, 403})


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Seconds from the start of the machine's process."""

    sshd: float
    notebook: float


class Watcher:
    """Watches the machine `name`, which may not be there yet; use as a context manager around its start."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._stop = threading.Event()
        self._found: dict[str, float] = {}
        self._threads = [
            threading.Thread(target=self._watch, args=("sshd", _ssh), daemon=True),
            threading.Thread(target=self._watch, args=("notebook", _notebook), daemon=True),
        ]

    def __enter__(self) -> Watcher:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        for each in self._threads:
            each.join()

    def moments(self) -> Moments:
        """Both moments; to be asked when the machine is known to be ready. Raises RuntimeError."""
        for each in self._threads:
            each.join(3 * _TRY_SECONDS)
        if self._found.keys() != {"sshd", "notebook"}:
            raise RuntimeError(
                f"{self._name}: ready, and yet only {sorted(self._found) or 'nothing'} answers"
            )
        return Moments(**self._found)

    def _watch(self, what: str, answers: Callable[[Machine], bool]) -> None:
        machine = self._machine()
        if machine is None:
            return
        # Field 22 of /proc/PID/stat: clock ticks since the host's boot.
        started = machine.process.started / os.sysconf("SC_CLK_TCK")

        def attempt() -> None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if answers(machine):
                    now = time.clock_gettime(time.CLOCK_BOOTTIME)
                    self._found.setdefault(what, round(now - started, 2))

        flying: list[Future[None]] = []
        pool = ThreadPoolExecutor(_IN_FLIGHT)
        try:
            while what not in self._found and not self._stop.wait(_EVERY_SECONDS):
                flying = [each for each in flying if not each.done()]
                if len(flying) < _IN_FLIGHT:
                    flying.append(pool.submit(attempt))
        finally:
            # The tries still in flight end by themselves, at the latest when the machine does.
            pool.shutdown(wait=False, cancel_futures=True)

    def _machine(self) -> Machine | None:
        while not self._stop.wait(0.05):
            with contextlib.suppress(NotebakeError):
                return machine.load(self._name)
        return None


def _ssh(machine: Machine) -> bool:
    with _connected(Address(host=machine.ssh.host, port=machine.ssh.port)) as connection:
        return connection.recv(16).startswith(b"SSH-")


def _notebook(machine: Machine) -> bool:
    # Only the time is asked for: `lifecycle.start` compares the certificate with the console's.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    address = machine.address
    connection = http.client.HTTPSConnection(
        address.host, address.port, timeout=_TRY_SECONDS, context=context
    )
    try:
        connection.request("GET", "/api")
        return connection.getresponse().status in _ANSWERS
    finally:
        connection.close()


def _connected(address: Address) -> socket.socket:
    connection = socket.create_connection((address.host, address.port), timeout=_TRY_SECONDS)
    connection.settimeout(_TRY_SECONDS)
    return connection
