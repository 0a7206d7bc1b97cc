"""A port that something really listens on inside is not reachable from outside.

The listener is started for this and proven from inside first: a port where nothing listens would
be "closed" without any firewall. A connection alone proves nothing (QEMU's port forwarding takes
it before the guest is asked), so the question is whether one byte of an answer comes back.
"""

from __future__ import annotations

import errno
import secrets
import socket

from notebake.address import Address
from notebake.errors import CheckFailed, CommandFailed
from notebake.probe.context import COMMAND, SILENCE, Context

# Answers every connection with one line, on all addresses of both families.
LISTENER = """
import socket, sys
port = int(sys.argv[1])
try:
    server = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
except (OSError, ValueError):
    server = socket.create_server(("", port))
while True:
    line, _ = server.accept()
    # Who asks may hang up at any moment; the listener must outlive that.
    try:
        with line:
            line.settimeout(1)
            line.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\nnotebake canary\\n")
            line.shutdown(socket.SHUT_WR)
            line.recv(4096)
    except OSError:
        pass
"""
ASKER = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=5) as line:
    line.settimeout(5)
    sys.exit(0 if line.recv(1) else 1)
"""
# The listener ends by itself, should the probe be killed.
_LONGEST = 300


def answers(address: Address, *, seconds: float) -> tuple[bool, str]:
    """Whether one byte comes back from `address` within `seconds`, and what was seen."""
    try:
        with socket.create_connection((address.host, address.port), timeout=seconds) as line:
            line.settimeout(seconds)
            line.sendall(b"GET / HTTP/1.0\r\n\r\n")
            if line.recv(1):
                return True, "answers"
            return False, "hangs up without a byte"
    except TimeoutError:
        return False, f"silent for {seconds:g} s"
    except ConnectionError as error:
        return False, (error.strerror or type(error).__name__).lower()
    except OSError as error:
        # firewalld rejects with ICMP "administratively prohibited", which Linux reports so. The machine
        # itself can be reached: ssh does so right before and after.
        if error.errno in (errno.EHOSTUNREACH, errno.EACCES):
            return False, "rejected by its firewall"
        # No network, no such name: then nothing is known about the firewall.
        raise CheckFailed(f"{address}: {error.strerror or error}") from None


def run(context: Context) -> str:
    """What was seen outside; CheckFailed when the port answers, or the listener could not be started."""
    canary = context.subject.canary
    if canary is None:
        raise CheckFailed("no port is known that must be closed")
    unit, port = f"notebake-canary-{secrets.token_hex(4)}.service", str(canary.port)
    start = ["sudo", "-n", "systemd-run", "--quiet", "--collect", f"--unit={unit}"]
    limits = ["--property=DynamicUser=yes", f"--property=RuntimeMaxSec={_LONGEST}"]
    context.output(*start, *limits, "--", "python3", "-c", LISTENER, port)

    def listens() -> None:
        if context.command("python3", "-c", ASKER, port).returncode != 0:
            raise CommandFailed("nothing answers on loopback inside")

    try:
        context.wait(f"a listener on port {port} inside", COMMAND, listens)
        open_, seen = answers(canary.address, seconds=context.seconds(SILENCE))
        # Still there after the question: else "closed" would only mean that the listener had died.
        listens()
    finally:
        context.command("sudo", "-n", "systemctl", "stop", unit)
    if open_:
        raise CheckFailed(f"port {port} can be reached from outside ({canary.address} answers)")
    return f"port {port} listens inside, outside it is closed ({seen})"
