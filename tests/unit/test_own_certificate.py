"""`plan` refuses a certificate that browsers or the machine's server would refuse, with the reason."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.certificates import DAY, NOW, Pair, authority, ec_key, issue, rsa_key
from tests.conftest import Run

from notebake.errors import SpecError
from notebake.plan.plan import Plan

SPEC = '[certificate]\ncertificate = "site.pem"\nkey = "site.key"\n'
ROOT = authority("Corp Root", key=rsa_key(2048))
MIDDLE = authority("Corp TLS", ROOT, key=rsa_key(2048))
LOWER = authority("Corp TLS East", MIDDLE, key=ec_key(ec.SECP521R1()))
OTHER = authority("Other Root")

# `openssl req -x509 -sha1`, of 2026-11-25, and its key.
SHA1_ROOT = b"""
-----BEGIN CERTIFICATE-----
MIIBejCCASKgAwIBAgIUPgUEBbXFy9YtfsT8tG/r+JbnGogwCQYHKoZIzj0EATAT
MREwDwYDVQQDDAhPbGQgUm9vdDAgFw0yNjExMjUwMjQ3NThaGA8yMTI2MTEwMTAy
NDc1OFowEzERMA8GA1UEAwwIT2xkIFJvb3QwWTATBgcqhkjOPQIBBggqhkjOPQMB
BwNCAARyq9fc/ICXX2Ge4b7GbOxVQDKdOuNGjn+qgNKLgBA6qElPfWucZtGDES8q
ovr6XaEZ8fZwnAsjazcQhDFvIX2qo1MwUTAdBgNVHQ4EFgQURTm/JER+l8hXaEQw
QmyzIUKKXIswHwYDVR0jBBgwFoAURTm/JER+l8hXaEQwQmyzIUKKXIswDwYDVR0T
AQH/BAUwAwEB/zAJBgcqhkjOPQQBA0cAMEQCIACDTpd3CC0l/M28n3jQHf09z2kk
xMB/DyUCRH4OrjHkAiA/SveqnimKlJ/easD+JOhjPEcaVcS8MQt5rtUnCgbqew==
-----END CERTIFICATE-----
"""
SHA1_KEY = b"""
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgAzmge4/b/MCzDB1v
WQ++0YMZ1pWxk8xDD9FEHIBDN+uhRANCAARyq9fc/ICXX2Ge4b7GbOxVQDKdOuNG
jn+qgNKLgBA6qElPfWucZtGDES8qovr6XaEZ8fZwnAsjazcQhDFvIX2q
-----END PRIVATE KEY-----
"""

Make = Callable[..., Plan]


def put(folder: Path, *chain: Pair, key: Pair | None = None) -> None:
    (folder / "site.pem").write_bytes(b"".join(pair.pem for pair in chain))
    (folder / "site.key").write_bytes((key or chain[0]).key_pem)


def weak(pair: Pair, digest: int) -> Pair:
    """Return `pair` with MD5 (4) or SHA-1 (5) named as its algorithm: the library signs with neither."""
    der = pair.certificate.public_bytes(serialization.Encoding.DER)
    sha256 = bytes.fromhex("2a864886f70d01010b")
    assert der.count(sha256) == 2
    return replace(
        pair, certificate=x509.load_der_x509_certificate(der.replace(sha256, sha256[:-1] + bytes([digest])))
    )


def pss(pair: Pair) -> Pair:
    """Return `pair` (RSA) with a key for RSASSA-PSS only, with its default parameters."""
    plain, only_pss = bytes.fromhex("2a864886f70d0101010500"), bytes.fromhex("2a864886f70d01010a3000")
    der = pair.certificate.public_bytes(serialization.Encoding.DER)
    assert der.count(plain) == 1
    return replace(pair, certificate=x509.load_der_x509_certificate(der.replace(plain, only_pss)))


@pytest.mark.parametrize(
    "chain",
    [
        [issue()],
        [issue(key=ec_key(ec.SECP384R1()))],
        [issue(key=rsa_key(2048))],
        [issue(key=rsa_key(3072), names=("*.corp.example", "192.0.2.7"))],
        [issue(names=("192.0.2.7",), use=None, ca=None, signs=True)],
        # What `openssl req -x509` makes by default.
        [issue(ca=True, use=None)],
        [issue(by=MIDDLE, end=3000 * DAY, digest=hashes.SHA512()), MIDDLE],
        [issue(by=MIDDLE), MIDDLE, ROOT],
        [issue(by=LOWER, key=rsa_key(2048)), LOWER, MIDDLE],
        [issue(by=ROOT), ROOT],
    ],
)  # fmt: skip
def test_certificates_that_browsers_accept(chain: list[Pair], make_plan: Make, tmp_path: Path) -> None:
    put(tmp_path, *chain)
    assert make_plan(SPEC, now=NOW).own_certificate == (tmp_path / "site.pem").read_bytes()


@pytest.mark.parametrize(
    ("chain", "words"),
    [
        ([issue(key=rsa_key(1024))], "the key is RSA 1024; .* 2048"),
        ([issue(key=ec_key(ec.SECP521R1()))], "the key is EC P-521"),
        ([issue(key=ec_key(ec.SECP256K1()))], "the key is EC secp256k1"),
        ([pss(issue(key=rsa_key(2048)))], "the key is RSA-PSS 2048"),
        ([issue(key=ed25519.Ed25519PrivateKey.generate())], "the key is Ed25519"),
        ([issue(key=ed448.Ed448PrivateKey.generate())], "the key is Ed448"),
        ([issue(key=dsa.generate_private_key(2048))], "the key is DSA 2048"),
        ([weak(issue(key=rsa_key(2048)), 4)], "signed with MD5"),
        ([weak(issue(key=rsa_key(2048)), 5)], "signed with SHA1"),
        ([issue(end=datetime.timedelta(0))], "it expired on 2026-11-23"),
        ([issue(begin=DAY)], "not valid before 2026-11-24"),
        ([issue(names=())], "no subjectAltName"),
        ([issue(names=("admin@corp.example",))], "no subjectAltName"),
        ([issue(use=ExtendedKeyUsageOID.CLIENT_AUTH)], "not valid for servers"),
        ([issue(signs=False)], "digitalSignature"),
        ([issue(by=MIDDLE, ca=True), MIDDLE], "a CA certificate"),
        ([issue(key=rsa_key(1024), names=())], "RSA 1024.*no subjectAltName"),
        # Faults of its issuers.
        ([issue(by=(late := issue("Late", ca=True, end=-DAY, begin=-9 * DAY))), late],
         r"certificate 2 \(CN=Late\): it expired on 2026-11-22"),
        ([issue(by=(small := authority("Small", key=rsa_key(1024)))), small], "CN=Small.*RSA 1024"),
        ([issue(by=MIDDLE), weak(MIDDLE, 5), ROOT], r"certificate 2 \(CN=Corp TLS\): it is signed with SHA1"),
        ([issue(by=(leaf := issue("leaf", by=ROOT))), leaf, ROOT], r"CN=leaf\): it is not a CA certificate"),
        ([issue(by=MIDDLE), ROOT], r"certificate 1 \(CN=nb.corp.example\) was not issued by .*CN=Corp Root"),
        ([issue(by=MIDDLE), ROOT, MIDDLE], "wrong order: certificate 3 issued it"),
        ([issue(by=LOWER), MIDDLE, LOWER], "wrong order: certificate 3 issued it"),
        ([issue(by=MIDDLE), authority("Corp TLS", ROOT), ROOT], "certificate 1 .* was not issued by"),
        ([issue(by=MIDDLE), MIDDLE, OTHER], "certificate 2 .* was not issued by .*Other Root"),
        ([issue(by=MIDDLE)], "the chain is incomplete: .*CN=Corp TLS"),
        # Subject and issuer have the same name, but it is not self-signed.
        ([issue("Corp TLS", by=MIDDLE)], "the chain is incomplete"),
    ],
)  # fmt: skip
def test_certificates_that_browsers_refuse(
    chain: list[Pair], words: str, make_plan: Make, tmp_path: Path
) -> None:
    put(tmp_path, *chain)
    with pytest.raises(SpecError) as caught:
        make_plan(SPEC, now=NOW)
    assert re.search(r"certificate\.certificate: site\.pem: .*" + words, caught.value.message)
    assert caught.value.hint


def test_the_signature_of_a_root_is_not_checked(make_plan: Make, tmp_path: Path) -> None:
    key = serialization.load_pem_private_key(SHA1_KEY, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    root = Pair(key=key, certificate=x509.load_pem_x509_certificate(SHA1_ROOT))
    later = NOW + 30 * DAY
    put(tmp_path, issue(by=root, now=later), root)
    assert make_plan(SPEC, now=later).own_certificate
    put(tmp_path, issue(by=ROOT, now=later), root)
    with pytest.raises(SpecError, match="was not issued by"):
        make_plan(SPEC, now=later)


def test_the_hint_has_the_url_of_the_missing_issuer(make_plan: Make, tmp_path: Path) -> None:
    put(tmp_path, issue(by=MIDDLE, issuer_url="http://pki.corp.example/tls.crt"))
    with pytest.raises(SpecError) as caught:
        make_plan(SPEC, now=NOW)
    assert "http://pki.corp.example/tls.crt" in str(caught.value.hint)


def test_the_key_must_match_the_first_certificate(make_plan: Make, tmp_path: Path) -> None:
    leaf = issue(by=MIDDLE)
    put(tmp_path, MIDDLE, leaf, key=leaf)
    with pytest.raises(SpecError, match=r"site\.key matches certificate 2 of site\.pem.*wrong order"):
        make_plan(SPEC, now=NOW)
    put(tmp_path, leaf, MIDDLE, key=OTHER)
    with pytest.raises(SpecError, match=r"site\.key does not match site\.pem"):
        make_plan(SPEC, now=NOW)


@pytest.mark.parametrize(
    "text", [b"", b"x", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_file_without_a_certificate_is_refused(text: bytes, make_plan: Make, tmp_path: Path) -> None:
    put(tmp_path, issue())
    (tmp_path / "site.pem").write_bytes(text)
    with pytest.raises(SpecError, match=r"certificate: "):
        make_plan(SPEC, now=NOW)


def test_plan_reports_it_with_exit_code_2(run: Run, tmp_path: Path) -> None:
    today = datetime.datetime.now(datetime.UTC)
    (tmp_path / "notebake.toml").write_text(SPEC)
    put(tmp_path, issue(now=today, begin=-9 * DAY, end=-DAY))
    code, out, err = run("plan", "debian-13")
    assert (code, out) == (2, "") and "it expired on" in err and "hint:" in err
    put(tmp_path, issue(now=today))
    assert run("plan", "debian-13")[0] == 0
