"""The program that makes the machine's certificate."""

from __future__ import annotations

import datetime
from pathlib import Path

import certificate
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

NOW = datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC)
NAMES = ["box", "localhost", "127.0.0.1", "::1", "10.0.2.15"]


def ensure(folder: Path, names: list[str] = NAMES, now: datetime.datetime = NOW) -> tuple[str, str | None]:
    result: tuple[str, str | None] = certificate.ensure(folder, names, now, lambda path: None)
    return result


def test_a_new_certificate_has_what_browsers_require(tmp_path: Path) -> None:
    fingerprint, reason = ensure(tmp_path)
    new = x509.load_pem_x509_certificate((tmp_path / "cert.pem").read_bytes())
    get = new.extensions.get_extension_for_class
    assert reason == "no certificate yet"
    assert isinstance(new.public_key(), ec.EllipticCurvePublicKey)
    assert isinstance(new.public_key().curve, ec.SECP256R1)
    assert get(x509.BasicConstraints).value.ca is False
    assert list(get(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]
    san = get(x509.SubjectAlternativeName).value
    assert set(san.get_values_for_type(x509.DNSName)) == {"box", "localhost"}
    assert {str(address) for address in san.get_values_for_type(x509.IPAddress)} == {
        "127.0.0.1",
        "::1",
        "10.0.2.15",
    }
    assert new.not_valid_after_utc - new.not_valid_before_utc <= datetime.timedelta(days=366)
    assert len(fingerprint.split(":")) == 32 and fingerprint == fingerprint.upper()
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600


def test_a_good_certificate_is_kept(tmp_path: Path) -> None:
    first, _ = ensure(tmp_path)
    assert ensure(tmp_path) == (first, None)
    assert ensure(tmp_path, NAMES[:2]) == (first, None)  # a name that is no longer used is no reason
    assert ensure(tmp_path, now=NOW + datetime.timedelta(days=334)) == (first, None)


@pytest.mark.parametrize(
    ("names", "days", "why"),
    [([*NAMES, "10.9.9.9"], 0, "it does not name 10.9.9.9"),
     ([*NAMES, "new.example"], 0, "it does not name new.example"),
     (NAMES, 336, "it expires soon"), (NAMES, 500, "it expires soon"), (NAMES, -1000, "it is not valid yet")],
)  # fmt: skip
def test_a_certificate_is_renewed_when_it_must_be(
    tmp_path: Path, names: list[str], days: int, why: str
) -> None:
    first, _ = ensure(tmp_path)
    second, reason = ensure(tmp_path, names, NOW + datetime.timedelta(days=days))
    assert (second != first, reason) == (True, why)


@pytest.mark.parametrize("cut", ["key.pem", "cert.pem"])
@pytest.mark.parametrize("keep", [0, 20, None])
def test_a_damaged_or_missing_file_is_replaced(tmp_path: Path, cut: str, keep: int | None) -> None:
    first, _ = ensure(tmp_path)
    path = tmp_path / cut
    if keep is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:keep])
    second, reason = ensure(tmp_path)
    assert reason and second != first
    assert ensure(tmp_path) == (second, None)


def test_a_key_of_another_certificate_is_replaced(tmp_path: Path) -> None:
    ensure(tmp_path / "a")
    ensure(tmp_path / "b")
    (tmp_path / "a/key.pem").write_bytes((tmp_path / "b/key.pem").read_bytes())
    assert ensure(tmp_path / "a")[1] == "key and certificate do not match"
