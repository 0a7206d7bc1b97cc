"""One TLS connection under a time limit that holds, and what a handshake shows.

A pinned machine is trusted by exactly its certificate: the handshake proves that the other side
has its key, and the SHA-256 of the certificate is compared before the first byte of ours is sent.
Names and dates are checks of their own (`san`, `tls`), so that one fault turns one check red.
"""

from __future__ import annotations

import hashlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from websocket import WebSocketException

from notebake.address import Address
from notebake.errors import CheckFailed, NotReady


@dataclass(frozen=True, kw_only=True)
class Handshake:
    """What the other side showed: the protocol ("TLSv1.3"), the cipher, the certificate (DER)."""

    version: str
    cipher: str
    certificate: bytes

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, plain hex."""
        return hashlib.sha256(self.certificate).hexdigest()


def _any_certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _cut(line: socket.socket) -> None:
    with suppress(OSError):
        # The plain socket's own shutdown: SSLSocket's would pull the session from under a reader.
        socket.socket.shutdown(line, socket.SHUT_RDWR)


@contextmanager
def _limited(address: Address, line: socket.socket, until: float, seconds: float) -> Iterator[None]:
    """Cut `line` at `until` (monotonic), however slowly bytes come in, and name what went wrong."""
    cutter = threading.Timer(max(0.0, until - time.monotonic()), _cut, (line,))
    cutter.daemon = True
    cutter.start()
    try:
        yield
    except ssl.SSLCertVerificationError:
        raise
    except (OSError, http.client.HTTPException, WebSocketException) as error:
        if time.monotonic() >= until - 0.05 or isinstance(error, TimeoutError):
            raise NotReady(f"{address}: no answer within {seconds:g} s") from error
        raise NotReady(f"{address}: {_words(error)}") from error
    finally:
        cutter.cancel()


def _words(error: BaseException) -> str:
    return str(error).strip() or type(error).__name__


@contextmanager
def _tls(address: Address, context: ssl.SSLContext, seconds: float) -> Iterator[ssl.SSLSocket]:
    until = time.monotonic() + seconds
    try:
        raw = socket.create_connection((address.host, address.port), timeout=seconds)
    except TimeoutError as error:
        raise NotReady(f"{address}: no connection within {seconds:g} s") from error
    except OSError as error:
        raise NotReady(f"{address}: {_words(error)}") from error
    with raw:
        name = None if address.ip and not context.check_hostname else address.host
        line = context.wrap_socket(raw, server_hostname=name, do_handshake_on_connect=False)
        with line, _limited(address, line, until, seconds):
            line.settimeout(seconds)
            line.do_handshake()
            yield line


def _seen(line: ssl.SSLSocket) -> Handshake:
    cipher, certificate = line.cipher(), line.getpeercert(binary_form=True)
    return Handshake(
        version=line.version() or "?", cipher=cipher[0] if cipher else "?", certificate=certificate or b""
    )


def shake_hands(address: Address, *, seconds: float) -> Handshake:
    """What `address` shows to anyone, trusted or not. Raises NotReady."""
    with _tls(address, _any_certificate(), seconds) as line:
        return _seen(line)


def publicly_trusted(address: Address, *, seconds: float) -> Handshake:
    """What `address` shows, verified with this computer's authorities and for the host's name.

    Raises ssl.SSLCertVerificationError, or NotReady.
    """
    with _tls(address, ssl.create_default_context(), seconds) as line:
        return _seen(line)


@contextmanager
def pinned(address: Address, fingerprint: str, *, seconds: float) -> Iterator[ssl.SSLSocket]:
    """A connection to the one machine that holds the certificate with this SHA-256 (plain hex).

    The whole block has `seconds`; then the line is cut and the block's error becomes NotReady.
    Raises NotReady, or CheckFailed when another certificate is shown.
    """
    with _tls(address, _any_certificate(), seconds) as line:
        if _seen(line).fingerprint != fingerprint:
            raise CheckFailed(f"{address}: shows another certificate than the pinned one")
        yield line
