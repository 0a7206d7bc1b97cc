"""One rule for all URLs: the spec's, the options', the host's."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notebake import urls
from notebake.address import Address
from notebake.errors import SpecError
from notebake.plan import spec

WRONG = [
    ("", "not a URL"),
    ("http:///x", "it needs a host"),
    ("http://", "it needs a host"),
    ("https:x", "not a URL"),
    ("HTTP://h/", "not a URL"),
    ("ftp://h/", "not a URL"),
    ("http://h:0/", "a port from 1"),
    ("http://h:/", "a port from 1"),
    ("http://h:99999/", "Port"),
    ("http://h:x/", "Port"),
    ("http://[::1/", "IPv6"),
    ("http://[zz]/", "not a URL"),
    ("http://me@h/", "user or password"),
    ("http://me:secret@h/", "user or password"),
    ("http://h h/", "not a URL"),
    ("http://h/\u202e", "not a URL"),
    ("http://h/\x1b[2J", "not a URL"),
    ("http://h\\@evil/", "user or password"),
    ("http://300.1.1.1/", "not an IPv4"),
    ("http://-h/", "not a host name"),
    ("http://a..b/", "not a host name"),
    ("http://$(id)/", "not a host name"),
    ("http://h/#x", "fragment"),
    ("file://h/x", "not a file's URL"),
]


@pytest.mark.parametrize(("url", "problem"), WRONG)
def test_what_is_no_plain_url_says_why(url: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        urls.parse(url, schemes=(*urls.WEB, "file"))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://h", "https://h.example:8443/a/b%20c/", "http://[::1]:3141/x", "http://1.2.3.4"]
)
def test_a_plain_url_is_taken(url: str) -> None:
    assert urls.parse(url).hostname


@pytest.mark.parametrize("field", ["apt", "apt_security", "zypper", "python", "proxy"])
@pytest.mark.parametrize("url", [url for url, _ in WRONG if url.isascii() and url.isprintable()])
def test_each_url_of_the_spec_follows_it(field: str, url: str) -> None:
    with pytest.raises(SpecError, match=rf"mirrors\.{field}: ") as caught:
        spec.parse(f"[mirrors]\n{field} = '{url}'", source="x")
    assert "secret" not in caught.value.message


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.text(alphabet="htps:/[]@.%#?-_1a\\ \n\0é", max_size=30).map("http://".__add__))
def test_no_url_raises_anything_else(url: str) -> None:
    try:
        assert urls.parse(url, query=True).hostname
    except ValueError as error:
        assert str(error)
    with suppress(SpecError):
        Address.parse(url)
