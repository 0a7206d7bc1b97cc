"""How checks judge a certificate, a picture, and the output of commands in a machine."""

from __future__ import annotations

import ipaddress
import struct
import zlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import certificate as program
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.certificates import NOW, Pair, authority, ec_key, issue, rsa_key

from notebake.address import Address
from notebake.errors import CommandFailed, NotReady
from notebake.probe import png
from notebake.probe.checks._certificate import is_own
from notebake.probe.checks.san import covered
from notebake.probe.checks.tls import faults
from notebake.probe.context import Context
from notebake.probe.subject import Subject
from notebake.process import Completed


def found(pair: Pair, *, own: bool = False) -> str:
    return "; ".join(faults(pair.certificate, own=own, now=NOW))


def test_a_good_certificate_has_no_faults() -> None:
    assert found(issue()) == ""
    assert found(issue(), own=True) == ""


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"ca": True}, "CA:TRUE"),
        ({"use": None}, "no serverAuth"),
        ({"use": ExtendedKeyUsageOID.CLIENT_AUTH}, "no serverAuth"),
        ({"begin": timedelta(days=-9), "end": timedelta(days=-1)}, "expired on 2026-11-22"),
        ({"begin": timedelta(days=1)}, "not valid before"),
        ({"end": timedelta(days=398)}, "398 days at most"),
        ({"key": rsa_key(2048)}, "the key is RSA 2048, not EC P-256"),
        ({"key": ec_key(ec.SECP384R1())}, "the key is EC P-384, not EC P-256"),
    ],
)
def test_each_fault_is_found(wrong: dict[str, Any], words: str) -> None:
    problem = found(issue(**wrong))
    assert words in problem
    assert ";" not in problem


def test_an_own_certificate_may_be_any_that_browsers_accept() -> None:
    for key in (rsa_key(2048), rsa_key(3072), ec_key(ec.SECP384R1())):
        assert found(issue(key=key, end=timedelta(days=3650), use=None, ca=True), own=True) == ""
    assert "the key is RSA 1024" in found(issue(key=rsa_key(1024)), own=True)


def test_an_own_certificate_is_recognized() -> None:
    """A launched machine's record says it; for an address the certificate decides."""
    _, pem = program.make(["nb-1", "10.0.2.15", "localhost", "127.0.0.1", "::1"], NOW)
    of_machine = x509.load_pem_x509_certificate(pem)
    same_names = ("nb.corp.example", "localhost", "127.0.0.1", "::1")
    own = issue().certificate
    issued = issue(by=authority("Corp Root"), names=same_names).certificate
    for served, expected in ((of_machine, False), (own, True), (issued, True)):
        assert is_own(served, Subject(address=Address(host="nb"))) is expected
        for known in (True, False):
            assert is_own(served, Subject(address=Address(host="nb"), own_certificate=known)) is known


def test_a_name_is_covered_by_the_subject_alternative_names() -> None:
    names = x509.SubjectAlternativeName(
        [
            x509.DNSName("nb.example"),
            x509.DNSName("*.west.example"),
            x509.IPAddress(ipaddress.ip_address("10.0.2.15")),
            x509.IPAddress(ipaddress.ip_address("2001:db8::1")),
        ]
    )
    for name in ("nb.example", "NB.Example.", "a.west.example", "10.0.2.15", "2001:db8:0::1"):
        assert covered(name, names), name
    for name in ("x.nb.example", "a.b.west.example", "west.example", "10.0.2.16", "example", "::1"):
        assert not covered(name, names), name


def picture(width: int = 120, height: int = 90, *, blank: bool = False, colour: int = 6) -> bytes:
    samples = {2: 3, 6: 4}[colour]
    rows = b"".join(
        b"\0" + bytes(width * samples) if blank else b"\0" + bytes([row]) * (width * samples)
        for row in range(height)
    )

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    return png.SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_the_size_of_a_png_is_read() -> None:
    assert png.size(picture()) == (120, 90)
    assert png.size(picture(colour=2)) == (120, 90)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "signature"),
        (b"GIF89a", "signature"),
        (png.SIGNATURE, "truncated"),
        (picture()[:-12], "truncated"),
        (picture()[:60], "damaged"),
        (picture().replace(b"IDAT", b"IDAX"), "damaged"),
        (picture(blank=True), "it is blank"),
    ],
)
def test_a_broken_or_blank_png_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        png.size(data)


class Script:
    """A machine whose commands have these outcomes in order: output or exit code; the last one repeats."""

    def __init__(self, *outcomes: bytes | int) -> None:
        self.outcomes = list(outcomes)

    def run(self, argv: Sequence[str], timeout: float) -> Completed:
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        code, text = (outcome, b"") if isinstance(outcome, int) else (0, outcome)
        return Completed(argv=tuple(argv), returncode=code, stdout=text)


def context(*outcomes: bytes | int) -> Context:
    subject = Subject(address=Address(host="nb"), inside=Script(*outcomes), timeout_scale=0.001)
    return Context(subject=subject, now=NOW)


def test_the_output_of_a_command_inside_is_returned() -> None:
    assert context(b" 42\n").output("cat", "x") == "42"
    with pytest.raises(CommandFailed, match="on the machine: cat: exit code 255"):
        context(255).output("cat", "x")


def test_a_timeout_names_the_last_state() -> None:
    def never() -> None:
        raise NotReady("MainPID is 0")

    with pytest.raises(NotReady, match="the service: not within 0 s; last error: MainPID is 0"):
        context(0).wait("the service", 1.0, never)
