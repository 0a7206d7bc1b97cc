"""Measure when a machine's sshd and its notebook first answer, counted from the start of QEMU's process.

A container's are counted from the launch, in which Incus makes it.

`lifecycle.start` tries one port after the other, and a try may take seconds: QEMU's user network accepts a
connection long before the guest answers. Here both ports are tried at the same time, with a new connection
every half second while older ones are still open, so that both moments are equally exact.
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
_TRY_SECONDS = 10.0  # a busy emulated machine needs seconds to answer its first request
_PENDING = 24
_ANSWERS = frozenset({200, 301, 302, 401, 403})


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Seconds from the start of the machine's process, or from a container's launch."""

    sshd: float
    notebook: float


class Watcher:
    """Watches the machine `name`, which may not exist yet. A context manager around its start."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._stop = threading.Event()
        self._seconds: dict[str, float] = {}
        self._begun = 0.0
        self._threads = [
            threading.Thread(target=self._watch, args=("sshd", _ssh), daemon=True),
            threading.Thread(target=self._watch, args=("notebook", _notebook), daemon=True),
        ]

    def __enter__(self) -> Watcher:
        self._begun = time.clock_gettime(time.CLOCK_BOOTTIME)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def moments(self) -> Moments:
        """Return both moments. Call it when the machine is ready. RuntimeError if one is missing."""
        for thread in self._threads:
            thread.join(3 * _TRY_SECONDS)
        if self._seconds.keys() != {"sshd", "notebook"}:
            raise RuntimeError(f"{self._name}: ready, but only {sorted(self._seconds) or 'nothing'} answers")
        return Moments(**self._seconds)

    def _watch(self, what: str, answers: Callable[[Machine], bool]) -> None:
        machine = self._machine()
        if machine is None:
            return
        started = self._begun
        if machine.process is not None:  # field 22 of /proc/PID/stat: clock ticks since the host's boot
            started = machine.process.started / os.sysconf("SC_CLK_TCK")

        def attempt() -> None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if answers(machine):
                    now = time.clock_gettime(time.CLOCK_BOOTTIME)
                    self._seconds.setdefault(what, round(now - started, 2))

        pending: list[Future[None]] = []
        pool = ThreadPoolExecutor(_PENDING)
        try:
            while what not in self._seconds and not self._stop.wait(_EVERY_SECONDS):
                pending = [future for future in pending if not future.done()]
                if len(pending) < _PENDING:
                    pending.append(pool.submit(attempt))
        finally:
            # Pending tries end by themselves, at the latest when the machine is stopped.
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
    # Only the time matters here: `lifecycle.start` verifies the certificate.
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
