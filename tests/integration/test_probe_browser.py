"""The browser check on real Jupyter servers, in Chromium."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.certificates import PrivateKey, corporate, ec_key, rsa_key
from tests.integration.jupyter_servers import PASSWORD, JupyterServers, put, restored

from notebake.probe import browser
from notebake.probe.subject import Subject


def visit(subject: Subject, folder: Path, seconds: float = 60) -> dict[str, tuple[str, str]]:
    results = browser.visit(subject, screenshots=folder, timeout_s=seconds)
    assert [result.name for result in results] == list(browser.NAMES)
    assert not any(PASSWORD in result.detail for result in results)
    return {result.name: (result.status, result.detail) for result in results}


def test_a_good_server_passes_in_a_browser(good: Subject, jupyter: JupyterServers, tmp_path: Path) -> None:
    results = visit(good, tmp_path)
    assert {status for status, _ in results.values()} == {"passed"}, results
    for name in ("1-login", "2-dashboard", "3-notebook", "4-plot"):
        data = (tmp_path / f"{name}.png").read_bytes()
        assert data[16:24] == (1280).to_bytes(4, "big") + (800).to_bytes(4, "big")
    assert not list((jupyter.root / "good/notebooks").glob("*.ipynb")), "the notebook was not removed"


@pytest.mark.parametrize("key", [rsa_key(3072), ec_key(ec.SECP384R1())], ids=["rsa-3072", "p-384"])
def test_an_own_certificate_passes_in_a_browser(
    good: Subject, jupyter: JupyterServers, tmp_path: Path, key: PrivateKey
) -> None:
    chain = corporate(key)
    with restored(jupyter.root / "good"):
        put(jupyter.root / "good", *chain)
        results = visit(replace(good, fingerprint=chain[0].fingerprint, own_certificate=True), tmp_path)
    assert {status for status, _ in results.values()} == {"passed"}, results


def test_without_pylab_the_plot_fails_in_a_browser(good: Subject, tmp_path: Path) -> None:
    results = visit(replace(good, profile="nopylab"), tmp_path)
    assert [status for status, _ in results.values()] == ["passed", "passed", "passed", "failed"]
    assert "NameError: name 'plot' is not defined" in results["browser_plot"][1]
    assert (tmp_path / "failed-browser_plot.png").exists()


def test_a_wrong_password_fails_in_a_browser(good: Subject, tmp_path: Path) -> None:
    results = visit(replace(good, password="wrong horse"), tmp_path)
    assert results["browser_login"] == ("failed", "the login page rejects the password")
    assert results["browser_plot"] == ("failed", "needs browser_login")


def test_chromium_refuses_a_certificate_that_is_not_pinned(
    good: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With another key pinned, Chromium itself refuses the page."""
    monkeypatch.setattr(browser, "public_key_pin", lambda der: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
    results = visit(good, tmp_path)
    assert "ERR_CERT" in results["browser_login"][1]
    assert visit(replace(good, fingerprint="ab" * 32), tmp_path)["browser_login"][1].startswith(
        "pinned AB:AB:"
    )
