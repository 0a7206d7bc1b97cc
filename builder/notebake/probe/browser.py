"""The same proof as a person gives it, in a real browser: log in, new notebook, Shift-Enter, the plot.

Debian's chromium, driven by Playwright. It trusts the machine by the public key of the certificate
whose fingerprint was checked first (--ignore-certificate-errors-spki-list), not by ignoring errors.
The selectors are Notebook 7's (JupyterLab's class names).
"""

from __future__ import annotations

import base64
import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import Error, Page, sync_playwright

from notebake import process
from notebake.errors import CheckFailed, NotReady
from notebake.probe import words
from notebake.probe.checks.plot import CODE
from notebake.probe.report import Result, clean
from notebake.probe.subject import Subject
from notebake.probe.visit import Visit
from notebake.progress import Steps

NAMES = ("browser_login", "browser_dashboard", "browser_notebook", "browser_plot")
SIZE = (1280, 800)

_ARGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_PICTURE = '.jp-CodeCell .jp-OutputArea-output img[src^="data:image/png;base64,"]'
_ERROR = '.jp-CodeCell .jp-OutputArea-output[data-mime-type="application/vnd.jupyter.stderr"]'
# The requests are the page's own: they have its cookies, and its trust in the certificate.
_FETCH = """async ([method, path]) => {
    const cookie = document.cookie.match(/(?:^|; )_xsrf=([^;]+)/);
    const headers = cookie ? {"X-XSRFToken": cookie[1]} : {};
    const answer = await fetch(path, {method, headers});
    return answer.status === 200 ? await answer.json() : null;
}"""


def public_key_pin(certificate: bytes) -> str:
    """Base64 of the SHA-256 of the certificate's SubjectPublicKeyInfo (DER in): what chromium takes."""
    key = x509.load_der_x509_certificate(certificate).public_key()
    return base64.b64encode(
        hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
    ).decode()


@dataclass(kw_only=True)
class _Person:
    """Who sits at the browser: the page in front of them, and the notebook they made."""

    subject: Subject
    page: Page
    folder: Path
    until: float
    made: str | None = field(default=None)

    def left(self) -> float:
        """Milliseconds until the whole visit must be over (at least one: zero means for ever)."""
        return max(1.0, (self.until - time.monotonic()) * 1000)

    def fetch(self, method: str, path: str) -> Any:
        return self.page.evaluate(_FETCH, [method, path])

    def picture(self, name: str) -> None:
        self.page.screenshot(path=self.folder / f"{name}.png", timeout=self.left())

    def answer_dialogs(self) -> None:
        """Say yes to what stands in the way (kernel choice), until nothing does."""
        for _ in range(5):
            dialog = self.page.locator(".jp-Dialog button.jp-mod-accept")
            if dialog.count() == 0:
                return
            with suppress(Error):
                dialog.last.click(timeout=2000)

    def wait(self, selector: str) -> None:
        self.page.wait_for_selector(selector, timeout=self.left())


def _log_in(person: _Person) -> str:
    page, subject = person.page, person.subject
    page.goto(f"{subject.address.url}/login?next=%2Ftree", timeout=person.left())
    person.wait("#password_input")
    person.picture("1-login")
    page.fill("#password_input", subject.password or subject.token or "")
    page.click("#login_submit")
    page.wait_for_url("**/tree*", timeout=person.left())
    return "logged in"


def _dashboard(person: _Person) -> str:
    person.wait(".jp-DirListing-content")
    person.answer_dialogs()
    person.wait('.jp-FileBrowser-toolbar :text-is("New")')
    person.picture("2-dashboard")
    return "the files are listed"


def _notebook(person: _Person) -> str:
    profile = person.subject.profile
    specs = (person.fetch("GET", "/api/kernelspecs") or {}).get("kernelspecs", {})
    if profile not in specs:
        raise CheckFailed(f"there is no kernel {profile!r}")
    title = specs[profile]["spec"]["display_name"]
    page = person.page
    page.locator(".jp-FileBrowser-toolbar").get_by_text("New", exact=True).click(timeout=person.left())
    entry = page.locator(".lm-Menu-item").get_by_text(title, exact=True)
    with page.context.expect_page(timeout=person.left()) as opened:
        entry.click(timeout=person.left())
    person.page = opened.value
    person.page.wait_for_url("**/notebooks/*", timeout=person.left())
    person.made = person.page.url.split("?")[0].rsplit("/notebooks/", 1)[1]
    person.wait(".jp-Notebook .jp-CodeCell .cm-content")
    person.answer_dialogs()
    return f"a notebook with the kernel {title!r}"


def _plot(person: _Person) -> str:
    page = person.page
    cell = page.locator(".jp-Notebook .jp-CodeCell .cm-content").first
    cell.click(timeout=person.left())
    page.keyboard.type(CODE)
    page.keyboard.press("Shift+Enter")
    page.wait_for_selector(f"{_PICTURE}, {_ERROR}", timeout=person.left())
    if page.locator(_ERROR).count():
        lines = page.locator(_ERROR).first.inner_text().strip().splitlines()
        raise CheckFailed(f"{CODE}: {lines[-1] if lines else 'an error'}")
    size = page.locator(_PICTURE).first.evaluate("async i => { await i.decode(); return [i.naturalWidth, i.naturalHeight]; }")
    if min(size) < 100:
        raise CheckFailed(f"{CODE}: the picture is {size[0]} x {size[1]} pixels")
    return f"{size[0]} x {size[1]} pixels in the page"


def visit(
    subject: Subject, *, screenshots: Path, timeout_s: float, started: datetime, steps: Steps
) -> list[Result]:
    raise NotImplementedError
