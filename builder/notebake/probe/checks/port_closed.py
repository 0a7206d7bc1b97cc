"""Check that a port with a listener in the machine cannot be reached from outside.

The check starts the listener and verifies it from inside first: a port without a listener would be
"closed" even without a firewall. A connection alone proves nothing, because QEMU's port forwarding accepts
it itself. So the port counts as open only if at least one byte of a response arrives.
"""

from __future__ import annotations

import errno
import secrets
import socket

from notebake.address import Address
from notebake.errors import CheckFailed, CommandFailed
from notebake.probe.context import COMMAND, SILENCE, Context

# Responds to every connection, on all IPv4 and IPv6 addresses.
LISTENER = """
import socket, sys
port = int(sys.argv[1])
try:
    server = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
except (OSError, ValueError):
    server = socket.create_server(("", port))
while True:
    client, _ = server.accept()
    # A client may disconnect at any time; the listener must survive that.
    try:
        with client:
            client.settimeout(1)
            client.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\nnotebake canary\\n")
            client.shutdown(socket.SHUT_WR)
            client.recv(4096)
    except OSError:
        pass
"""
CLIENT = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=5) as client:
    client.settimeout(5)
    sys.exit(0 if client.recv(1) else 1)
"""
# The listener stops after this time even if the probe is killed.
_LISTENER_SECONDS = 300


def responds(address: Address, *, seconds: float) -> tuple[bool, str]:
    """Return whether `address` sends a byte within `seconds`, and what happened, in words."""
    try:
        with socket.create_connection((address.host, address.port), timeout=seconds) as client:
            client.settimeout(seconds)
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            if client.recv(1):
                return True, "responds"
            return False, "closes the connection without a response"
    except TimeoutError:
        return False, f"no response within {seconds:g} s"
    except ConnectionError as error:
        return False, (error.strerror or type(error).__name__).lower()
    except OSError as error:
        # Linux reports firewalld's ICMP "administratively prohibited" with these codes. The machine itself
        # is reachable: ssh connects right before and after.
        if error.errno in (errno.EHOSTUNREACH, errno.EACCES):
            return False, "rejected by its firewall"
        # No network or no such name: this says nothing about the firewall.
        raise CheckFailed(f"{address}: {error.strerror or error}") from None


def run(context: Context) -> str:
    """Return what happened outside. Raises CheckFailed if the port responds, or without a listener."""
    canary = context.subject.canary
    if canary is None:
        raise CheckFailed("the address of a port that must be closed is not known")
    unit, port = f"notebake-canary-{secrets.token_hex(4)}.service", str(canary.port)
    context.output(
        "sudo", "-n", "systemd-run",
        "--quiet",
        "--collect",
        f"--unit={unit}",
        "--property=DynamicUser=yes",
        f"--property=RuntimeMaxSec={_LISTENER_SECONDS}",
        "--",
        "python3", "-c", LISTENER, port,
    )  # fmt: skip

    def listens() -> None:
        if context.command("python3", "-c", CLIENT, port).returncode != 0:
            raise CommandFailed("no response on loopback in the machine")

    try:
        context.wait(f"a listener on port {port} in the machine", COMMAND, listens)
        is_open, outcome = responds(canary.address, seconds=context.seconds(SILENCE))
        # Check the listener again: if it had died, "closed" would prove nothing.
        listens()
    finally:
        context.command("sudo", "-n", "systemctl", "stop", unit)
    if is_open:
        raise CheckFailed(f"port {port} can be reached from outside ({canary.address} responds)")
    return f"port {port} is open in the machine and closed from outside ({outcome})"
