"""A TLS connection with a strict timeout, and the facts of its handshake.

A pinned machine is trusted by its certificate only: the handshake proves that the server has the key, and
the SHA-256 of the certificate is compared before any data is sent. Names and dates have their own checks
(`san`, `tls`), so that one fault fails one check.
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
    """The facts of a handshake: protocol ("TLSv1.3"), cipher, server certificate (DER)."""

    version: str
    cipher: str
    certificate: bytes

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate (plain hex)."""
        return hashlib.sha256(self.certificate).hexdigest()


def _any_certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _shut_down(tls: socket.socket) -> None:
    with suppress(OSError):
        # Not SSLSocket.shutdown: it would remove the session while another thread reads.
        socket.socket.shutdown(tls, socket.SHUT_RDWR)


@contextmanager
def _limited(address: Address, tls: socket.socket, until: float, seconds: float) -> Iterator[None]:
    """Shut down `tls` at `until` (monotonic) even if it still receives data; name the problem in NotReady."""
    timer = threading.Timer(max(0.0, until - time.monotonic()), _shut_down, (tls,))
    timer.daemon = True
    timer.start()
    try:
        yield
    except ssl.SSLCertVerificationError:
        raise
    except (OSError, http.client.HTTPException, WebSocketException) as error:
        if time.monotonic() >= until - 0.05 or isinstance(error, TimeoutError):
            raise NotReady(f"{address}: no response within {seconds:g} s") from error
        raise NotReady(f"{address}: {_text(error)}") from error
    finally:
        timer.cancel()


def _text(error: BaseException) -> str:
    return str(error).strip() or type(error).__name__


@contextmanager
def _tls(address: Address, context: ssl.SSLContext, seconds: float) -> Iterator[ssl.SSLSocket]:
    until = time.monotonic() + seconds
    try:
        raw = socket.create_connection((address.host, address.port), timeout=seconds)
    except TimeoutError as error:
        raise NotReady(f"{address}: no connection within {seconds:g} s") from error
    except OSError as error:
        raise NotReady(f"{address}: {_text(error)}") from error
    with raw:
        name = None if address.ip and not context.check_hostname else address.host
        tls = context.wrap_socket(raw, server_hostname=name, do_handshake_on_connect=False)
        with tls, _limited(address, tls, until, seconds):
            tls.settimeout(seconds)
            tls.do_handshake()
            yield tls


def _handshake(tls: ssl.SSLSocket) -> Handshake:
    cipher, certificate = tls.cipher(), tls.getpeercert(binary_form=True)
    return Handshake(
        version=tls.version() or "?", cipher=cipher[0] if cipher else "?", certificate=certificate or b""
    )


def shake_hands(address: Address, *, seconds: float) -> Handshake:
    """Return the handshake with `address`, without verifying the certificate. Raises NotReady."""
    with _tls(address, _any_certificate(), seconds) as tls:
        return _handshake(tls)


def publicly_trusted(address: Address, *, seconds: float) -> Handshake:
    """Return the handshake with `address`, verified with this host's CA certificates and for its name.

    Raises ssl.SSLCertVerificationError, NotReady.
    """
    with _tls(address, ssl.create_default_context(), seconds) as tls:
        return _handshake(tls)


@contextmanager
def pinned(address: Address, fingerprint: str, *, seconds: float) -> Iterator[ssl.SSLSocket]:
    """Yield a connection to the machine whose certificate has this SHA-256 (plain hex).

    After `seconds` the connection is shut down, and the block's error becomes NotReady. Raises NotReady, or
    CheckFailed for another certificate.
    """
    with _tls(address, _any_certificate(), seconds) as tls:
        if _handshake(tls).fingerprint != fingerprint:
            raise CheckFailed(f"{address}: presents another certificate than the pinned one")
        yield tls
