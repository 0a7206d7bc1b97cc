"""Addresses and fingerprints as users type them."""

from __future__ import annotations

import pytest

from notebake.address import Address
from notebake.errors import SpecError
from notebake.probe.subject import Subject, plain_fingerprint


@pytest.mark.parametrize(
    ("text", "host", "port", "shown"),
    [
        ("nb.example", "nb.example", 9999, "nb.example:9999"),
        (" NB.example:443 ", "nb.example", 443, "nb.example:443"),
        ("https://nb.example", "nb.example", 443, "nb.example:443"),
        ("https://nb.example:9999/", "nb.example", 9999, "nb.example:9999"),
        ("127.0.0.1:65535", "127.0.0.1", 65535, "127.0.0.1:65535"),
        ("[::1]", "::1", 9999, "[::1]:9999"),
        ("https://[2001:DB8:0::1]/", "2001:db8::1", 443, "[2001:db8::1]:443"),
        ("[fe80::2]:1", "fe80::2", 1, "[fe80::2]:1"),
        ("https://nb.example/lab/one-1/", "nb.example", 443, "nb.example:443/lab/one-1"),
    ],
)
def test_an_address_is_parsed(text: str, host: str, port: int, shown: str) -> None:
    address = Address.parse(text)
    assert (address.host, address.port, f"{address}{address.path}") == (host, port, shown)
    assert address.url == f"https://{shown}"
    assert Address.parse(address.url) == address


@pytest.mark.parametrize(
    "text",
    ["", "https://", ":9999", "::1", "[::1", "[nb]:1", "[::1]x", "http://nb", "nb:0", "nb:65536", "nb:x",
     "nb:", "nb/tree", "nb?x", "nb#x", "a b", "-nb", "nb..x", "1.2.3", "1.2.3.256", "n\u00f6b", "x" * 254,
     "nb:\u0661", "https://nb/a//b", "https://nb/a/../b", "https://nb/a%2Fb", "https://nb/a b"],
)  # fmt: skip
def test_an_invalid_address_is_refused(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        Address.parse(text)
    assert caught.value.hint


def test_an_authority_is_what_browsers_send() -> None:
    assert Address.parse("https://nb.example/lab/").authority == "nb.example"
    assert Address.parse("https://[::1]/").authority == "[::1]"
    assert Address.parse("[::1]:9999").authority == "[::1]:9999"


def test_a_password_in_the_address_is_not_printed() -> None:
    with pytest.raises(SpecError) as caught:
        Address.parse("https://me:hunter2@nb.example/")
    assert "hunter2" not in f"{caught.value.message} {caught.value.hint}"


def test_fingerprints_are_normalized() -> None:
    plain = "ab" * 32
    for text in (plain, plain.upper(), ":".join(["AB"] * 32), f" SHA256:{plain} "):
        assert plain_fingerprint(text) == plain
        assert Subject(address=Address(host="nb"), fingerprint=text).fingerprint == plain
    for text in ("", "ab" * 31, "zz" * 32, "ab" * 20):
        with pytest.raises(SpecError, match="fingerprint"):
            plain_fingerprint(text)


@pytest.mark.parametrize("field", ["password", "token"])
def test_a_subjects_repr_has_no_secrets(field: str) -> None:
    subject = Subject(address=Address(host="nb"), **{field: "hunter2"})  # type: ignore[arg-type]
    assert "hunter2" not in repr(subject)
    assert subject.secrets == ("hunter2",)


@pytest.mark.parametrize("token", ["", "a\nb", "a ", "\u00e9"])
def test_an_invalid_token_is_refused(token: str) -> None:
    with pytest.raises(SpecError) as caught:
        Subject(address=Address(host="nb"), token=token)
    assert not token or token not in str(caught.value)
