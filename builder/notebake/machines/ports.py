"""Choose local TCP ports for a machine: QEMU listens on them, or the daemon of Incus."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import ExitStack, suppress

from notebake.address import Address
from notebake.errors import SpecError

LOOPBACK = "127.0.0.1"


def _bind(port: int) -> socket.socket:
    listener = socket.socket()
    try:
        # As QEMU does: a port left by a machine just stopped (TIME_WAIT) is free.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, port))
        listener.listen(1)  # with SO_REUSEADDR two may bind, only one may listen
    except BaseException:
        listener.close()
        raise
    return listener


def answers(address: Address) -> bool:
    """Return whether something listens at `address`."""
    try:
        socket.create_connection((address.host, address.port), timeout=3).close()
    except OSError:
        return False
    return True


def _hold(port: int, by_daemon: bool) -> ExitStack:
    """Hold the port; a daemon may use those below 1024, which this user may not even try."""
    held = ExitStack()
    try:
        held.enter_context(_bind(port))
    except PermissionError:
        if not by_daemon or answers(Address(host=LOOPBACK, port=port)):
            raise
    return held


def check(port: int, *, by_daemon: bool = False) -> None:
    """Raise SpecError naming `port` if it is in use or this user has no permission for it."""
    try:
        _hold(port, by_daemon).close()
    except PermissionError:
        raise SpecError(
            f"port {port}: this user may not listen on it", "use a port from 1024 on, or sudo"
        ) from None
    except (OSError, OverflowError):
        raise SpecError(
            f"port {port}: already used on {LOOPBACK}",
            f"find out by whom with `ss -tlnp sport = :{port}`, or use another port",
        ) from None


def choose(
    *, requested: int | None, endpoint: int, more: int, kept: Mapping[int, str], by_daemon: bool = False
) -> tuple[int, ...]:
    """Return the public port, then `more` free ports, all different, on 127.0.0.1.

    The public port is `requested` when given, else `endpoint` when it can be had, else any free one. `kept`:
    port -> the machine, maybe a stopped one, that it belongs to. `by_daemon`: a daemon with all rights will
    listen, not this user. Raises SpecError naming a `requested` port.
    """
    if requested is not None and requested in kept:
        raise SpecError(
            f"port {requested}: belongs to the machine {kept[requested]}",
            f"use another port, or delete that machine: notebake delete {kept[requested]}",
        )
    if requested is not None:
        check(requested, by_daemon=by_daemon)
    chosen: list[int] = []
    with ExitStack() as held:
        first = endpoint if requested is None else requested
        if first not in kept:
            with suppress(OSError):
                held.enter_context(_hold(first, by_daemon))
                chosen.append(first)
        while len(chosen) < 1 + more:
            port = held.enter_context(_bind(0)).getsockname()[1]
            if port not in kept:
                chosen.append(port)
    return tuple(chosen)
