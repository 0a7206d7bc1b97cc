"""Chooses local TCP ports for a machine behind QEMU's user network."""

from __future__ import annotations

import socket
from contextlib import ExitStack

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


def choose(*, wanted: int | None, endpoint: int, more: int) -> tuple[int, ...]:
    """The public port, then `more` free ports, all different, on 127.0.0.1.

    The public port is `wanted` when given, else `endpoint` when it can be had, else any free one.
    Raises SpecError naming a `wanted` port that is used or needs rights this user has not.
    """
    with ExitStack() as held:
        if wanted is not None:
            try:
                public = held.enter_context(_bind(wanted))
            except PermissionError:
                raise SpecError(
                    f"port {wanted}: this user may not listen on it", "use a port from 1024 on, or sudo"
                ) from None
            except (OSError, OverflowError):
                raise SpecError(
                    f"port {wanted}: already used on {LOOPBACK}",
                    f"see who uses it with `ss -tlnp sport = :{wanted}`, or name another port",
                ) from None
        else:
            try:
                public = held.enter_context(_bind(endpoint))
            except OSError:
                public = held.enter_context(_bind(0))
        taken = [public, *(held.enter_context(_bind(0)) for _ in range(more))]
        return tuple(each.getsockname()[1] for each in taken)
