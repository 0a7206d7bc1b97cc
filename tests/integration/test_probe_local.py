"""The probe on real Jupyter servers on loopback: a good one passes; each fault fails just its own check."""

from __future__ import annotations

import datetime
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.certificates import DAY, PrivateKey, corporate, ec_key, issue, rsa_key
from tests.integration.jupyter_servers import (
    OUTSIDE,
    PASSWORD,
    TOKEN,
    JupyterServers,
    answering,
    certificate,
    failed,
    put,
    restored,
    run,
    with_status,
)

from notebake.address import Address
from notebake.probe.context import Context
from notebake.probe.subject import Subject

# The test's other kernels are not in the user's layer of packages.
OTHER = tuple(name for name in OUTSIDE if name != "own_packages")


def test_a_good_server_passes(good: Subject) -> None:
    report = run(good)
    assert report.passed, failed(report)
    assert with_status(report, "passed") == set(OUTSIDE)
    without_machine = {"cloud_init", "metadata", "port_closed", "updates", "restart", "kill", "reboot"}
    assert with_status(report, "skipped") == without_machine


def test_login_with_a_token_passes(servers: dict[str, Subject]) -> None:
    report = run(servers["token"])
    assert with_status(report, "passed") == set(OUTSIDE), failed(report)
    wrong = run(replace(servers["token"], token=TOKEN[::-1]), "login_refused", "login")
    assert failed(wrong).keys() == {"login"}


def test_the_probe_leaves_no_kernel(good: Subject) -> None:
    run(good, "plot")
    session = Context(subject=good, now=datetime.datetime.now(datetime.UTC)).session()
    assert session.request("GET", "/api/kernels", seconds=10).json("kernels") == []


def test_deleted_files_are_removed_from_the_disk(good: Subject, jupyter: JupyterServers) -> None:
    """A trash outside the notebooks' folder would fill the disk, and users could not empty it."""
    session = Context(subject=good, now=datetime.datetime.now(datetime.UTC)).session()
    path, home = "/api/contents/large", jupyter.root / "good"
    for name, data in {
        path: {"type": "directory"},
        f"{path}/a.txt": {"type": "file", "format": "text", "content": "x" * 100_000},
        "/api/contents/b.txt": {"type": "file", "format": "text", "content": "x" * 100_000},
    }.items():
        assert session.request("PUT", name, seconds=10, data=data).status == 201
    assert {file.name for file in home.rglob("*.txt")} == {"a.txt", "b.txt"}
    for name in (path, "/api/contents/b.txt"):
        assert session.request("DELETE", name, seconds=10).status == 204
    assert not list(home.rglob("*.txt"))


def test_a_wrong_fingerprint_fails(good: Subject) -> None:
    report = run(replace(good, fingerprint="AB" * 32))
    assert failed(report).keys() == {"fingerprint"}
    # The probe sends nothing to a machine that is not the pinned one.
    assert with_status(report, "passed") == {"tls", "san"}


def test_a_certificate_that_is_neither_pinned_nor_trusted_fails(good: Subject) -> None:
    report = run(replace(good, fingerprint=None))
    assert failed(report).keys() == {"fingerprint"}
    assert good.fingerprint is not None
    assert good.fingerprint in report.failed[0].detail.replace(":", "").lower()


@pytest.mark.parametrize(
    ("fault", "check", "words"),
    [
        ("rsa", "tls", "RSA 2048, not EC P-256"),
        ("ca", "tls", "CA:TRUE"),
        ("expired", "tls", "expired on"),
        ("san", "san", "not in the certificate: 127.0.0.1; it names nb.example, 192.0.2.1"),
    ],
)
def test_a_bad_certificate_fails(
    good: Subject, jupyter: JupyterServers, fault: str, check: str, words: str
) -> None:
    with restored(jupyter.root / "good"):
        subject = replace(good, fingerprint=certificate(jupyter.root / "good", fault))
        report = run(subject, "tls", "fingerprint", "san", "login_refused", "login")
    faults = failed(report)
    assert faults.keys() == {check}
    assert words in faults[check]
    assert len(with_status(report, "passed")) == 4


@pytest.mark.parametrize(
    "key", [rsa_key(2048), rsa_key(3072), ec_key(ec.SECP384R1())], ids=["rsa-2048", "rsa-3072", "p-384"]
)
@pytest.mark.parametrize("known", [True, None], ids=["launched", "by-address"])
def test_an_own_certificate_passes(
    good: Subject, jupyter: JupyterServers, key: PrivateKey, known: bool | None
) -> None:
    """The probe uses an address that the certificate does not name."""
    chain = corporate(key)
    with restored(jupyter.root / "good"):
        put(jupyter.root / "good", *chain)
        report = run(replace(good, fingerprint=chain[0].fingerprint, own_certificate=known), *OUTSIDE)
    assert report.passed, failed(report)
    assert with_status(report, "passed") == set(OUTSIDE)
    details = {result.name: result.detail for result in report.results}
    assert details["san"] == "nb.corp.example, *.lab.corp.example (an own certificate)"


@pytest.mark.parametrize(
    ("wrong", "check", "words"),
    [
        ({"names": ()}, "san", "no subjectAltName"),
        ({"end": -DAY, "begin": -9 * DAY}, "tls", "expired on"),
        ({"key": ec_key(ec.SECP521R1())}, "tls", "EC P-521"),
        ({"use": ExtendedKeyUsageOID.CLIENT_AUTH}, "tls", "no serverAuth"),
    ],
)
def test_a_bad_own_certificate_fails(
    good: Subject, jupyter: JupyterServers, wrong: dict[str, Any], check: str, words: str
) -> None:
    pair = issue(now=datetime.datetime.now(datetime.UTC), **wrong)
    with restored(jupyter.root / "good"):
        put(jupyter.root / "good", pair)
        subject = replace(good, fingerprint=pair.fingerprint, own_certificate=True)
        report = run(subject, "tls", "fingerprint", "san")
    assert failed(report).keys() == {check}
    assert words in failed(report)[check]


def test_a_missing_name_fails(good: Subject) -> None:
    assert run(replace(good, names=("nb.example", "127.0.0.1")), "san").passed
    assert failed(run(replace(good, names=("nb.example", "other.example")), "san")).keys() == {"san"}


def test_a_server_without_authentication_fails(servers: dict[str, Subject]) -> None:
    report = run(servers["open"], "tls", "fingerprint", "san", "login_refused")
    assert failed(report) == {"login_refused": "/api/contents without credentials: status 200, expected 403"}


def test_a_wrong_password_fails(good: Subject) -> None:
    report = run(replace(good, password="wrong horse"))
    assert failed(report).keys() == {"login"}
    needs = {r.name for r in report.failed if r.detail.startswith("needs login: ")}
    assert needs == {"plot", "profile", "builtins", "not_root", "own_packages", "privileges"}


def test_a_profile_without_pylab_fails(good: Subject) -> None:
    """The profile is loaded but does not set pylab: no plot, and not the setting of the spec."""
    faults = failed(run(replace(good, profile="nopylab"), *OTHER))
    assert faults.keys() == {"plot", "profile", "builtins"}
    assert "plot is not defined" in faults["builtins"]
    assert "NameError: name 'plot' is not defined" in faults["plot"]
    assert "pylab is 'none'" in faults["profile"]
    # If the spec has no pylab, the profile is checked and the plot is skipped.
    report = run(replace(good, profile="nopylab", pylab="none"), *OTHER)
    assert report.passed
    assert with_status(report, "skipped") == {"plot"}


def test_numpys_functions_instead_of_builtins_fail(good: Subject) -> None:
    """pylab alone does that: a plot works, and `max(1, 2)` does not."""
    faults = failed(run(replace(good, profile="numpys"), *OTHER))
    assert faults.keys() == {"builtins"}
    for name in ("abs", "all", "any", "bool", "divmod", "max", "min", "pow", "round", "sum"):
        assert f"{name} is not Python's own" in faults["builtins"]


def test_a_kernel_with_the_default_profile_fails(good: Subject) -> None:
    faults = failed(run(replace(good, profile="plain"), *OTHER))
    assert faults.keys() == {"profile"}
    assert "the profile is 'default', not 'plain'" in faults["profile"]


def test_a_missing_kernel_fails(good: Subject) -> None:
    report = run(replace(good, profile="missing"), *OUTSIDE)
    assert failed(report).keys() == {"plot"}
    inside = {"plot", "profile", "builtins", "not_root", "own_packages", "privileges"}
    assert with_status(report, "failed") == inside


def drip(line: socket.socket) -> None:
    """Send the beginning of a TLS record byte by byte: each single read succeeds in time."""
    pause = threading.Event()
    for byte in b"\x16\x03\x03\x40\x00" + bytes(1000):
        line.sendall(bytes([byte]))
        pause.wait(0.2)


@pytest.mark.parametrize("talk", [lambda line: None, drip], ids=["silent", "dripping"])
def test_the_probe_of_a_machine_that_never_answers_ends(talk: Callable[[socket.socket], None]) -> None:
    with answering(talk) as address:
        subject = Subject(address=address, password=PASSWORD, fingerprint="ab" * 32, timeout_scale=0.1)
        started = time.monotonic()
        report = run(subject)
        assert time.monotonic() - started < 6, "one time limit of 2 s"
    assert failed(report) == {"tls": f"{address}: no response within 2 s"}


def test_a_refused_connection_fails() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    report = run(Subject(address=Address(host="127.0.0.1", port=port), password=PASSWORD, timeout_scale=0.1))
    assert failed(report).keys() == {"tls"}
    assert "refused" in failed(report)["tls"].lower()
