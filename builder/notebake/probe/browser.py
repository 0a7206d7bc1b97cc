"""The same proof as a person gives it, in a real browser: log in, new notebook, Shift-Enter, the plot.

Debian's chromium, driven by Playwright. It trusts the machine by the public key of the certificate
whose fingerprint was checked first (--ignore-certificate-errors-spki-list), not by ignoring errors.
The selectors are Notebook 7's (JupyterLab's class names).
"""

from __future__ import annotations

import base64
import hashlib
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import Error, Page, sync_playwright

from notebake import process
from notebake.errors import CheckFailed, NotReady, SpecError
from notebake.probe import wire
from notebake.probe.attempt import attempt
from notebake.probe.checks.plot import CODE, SMALLEST
from notebake.probe.report import Result
from notebake.probe.subject import Subject
from notebake.probe.trust import trusted
from notebake.probe.visit import HANDSHAKE
from notebake.progress import Steps

TITLES = {
    "browser_login": "the login page lets in",
    "browser_dashboard": "the dashboard shows the files",
    "browser_notebook": "New makes a notebook",
    "browser_plot": "Shift-Enter shows the plot",
}
NAMES = tuple(TITLES)
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
    # The probe goes straight to the machine: so does its browser.
    "--no-proxy-server",
)
_PICTURE = '.jp-CodeCell .jp-OutputArea-output img[src^="data:image/png;base64,"]'
_SIZE = "async image => { await image.decode(); return [image.naturalWidth, image.naturalHeight]; }"
_ASIDE = (4, 796)
_ERROR = '.jp-CodeCell .jp-OutputArea-output[data-mime-type="application/vnd.jupyter.stderr"]'
# The requests are the page's own: they have its cookies, and its trust in the certificate.
_FETCH = """async ([method, path]) => {
    const cookie = document.cookie.match(/(?:^|; )_xsrf=([^;]+)/);
    const headers = cookie ? {"X-XSRFToken": cookie[1]} : {};
    const answer = await fetch(path, {method, headers, signal: AbortSignal.timeout(60000)});
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
    made: str | None = None

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
    person.wait('.jp-Notebook-ExecutionIndicator[data-status="idle"]')
    person.picture("3-notebook")
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
    width, height = page.locator(_PICTURE).first.evaluate(_SIZE, timeout=person.left())
    if min(width, height) < SMALLEST:
        raise CheckFailed(f"{CODE}: the picture is {width} x {height} pixels")
    # The number in front of the cell comes when the kernel is idle again.
    page.locator(".jp-InputPrompt").get_by_text("[1]:").wait_for(timeout=person.left())
    page.mouse.move(*_ASIDE)
    person.picture("4-plot")
    return f"{width} x {height} pixels in the page"


def _tidy(person: _Person, start: Page) -> None:
    """Leave the machine as it was: no kernel of ours, no Untitled.ipynb."""
    if person.made is None:
        return
    if person.page is not start:
        person.page.close()
    person.page = start
    for session in person.fetch("GET", "/api/sessions") or ():
        if session.get("path") == unquote(person.made):
            person.fetch("DELETE", f"/api/sessions/{session['id']}")
    person.fetch("DELETE", f"/api/contents/{person.made}")


def _guarded(person: _Person, name: str, act: Callable[[_Person], str]) -> str:
    """One act; a failure leaves a picture. Playwright's call log is dropped: it quotes what was typed."""
    try:
        return act(person)
    except Exception as error:
        with suppress(Error):
            person.page.screenshot(path=person.folder / f"failed-{name}.png", timeout=10_000)
        if not isinstance(error, Error):
            raise
        text = str(error).split("\n")[0]
        raise NotReady(f"{text} ({person.folder / f'failed-{name}.png'} shows the page)") from None


@contextmanager
def _open(subject: Subject, pin: str, folder: Path, until: float) -> Iterator[_Person]:
    with (
        # Chromium may still write while it ends.
        tempfile.TemporaryDirectory(prefix="notebake-browser-", ignore_cleanup_errors=True) as profile,
        sync_playwright() as playwright,
    ):
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=process.which("chromium"),
            headless=True,
            args=[*_ARGS, f"--ignore-certificate-errors-spki-list={pin}"],
            env={**process.environment({"HOME": profile})},
            viewport={"width": SIZE[0], "height": SIZE[1]},
            locale="en-US",
            timeout=max(1.0, (until - time.monotonic()) * 1000),
        )
        try:
            start = context.pages[0] if context.pages else context.new_page()
            person = _Person(subject=subject, page=start, folder=folder, until=until)
            yield person
            with suppress(Error):
                _tidy(person, start)
        finally:
            context.close()


def visit(
    subject: Subject, *, screenshots: Path, timeout_s: float, steps: Steps | None = None
) -> list[Result]:
    """Log in, make a notebook, run `plot(randn(50))`, see the picture: a result for each of NAMES.

    The pictures go into the folder `screenshots` (made when missing): 1-login, 2-dashboard,
    3-notebook, 4-plot (PNG, 1280 x 800), and failed-NAME for what went wrong. `timeout_s` is for the
    whole visit. After a failure the later steps fail with `needs NAME`. The notebook and its kernel
    are removed again. Raises MissingTool without chromium, SpecError without password and token.
    """
    steps = steps or Steps()
    if not subject.secrets:
        raise SpecError("the browser needs the password or the token to log in")
    process.which("chromium")
    screenshots.mkdir(parents=True, exist_ok=True)
    until, results = time.monotonic() + timeout_s, list[Result]()

    def perform(name: str, act: Callable[[], str]) -> None:
        failed = next((result for result in results if result.status == "failed"), None)
        if failed:
            results.append(Result(name=name, status="failed", detail=f"needs {failed.name}"))
        else:
            results.append(attempt(name, TITLES[name], act, steps=steps, secrets=subject.secrets))

    with ExitStack() as stack:
        people: list[_Person] = []

        def first() -> str:
            seconds = min(HANDSHAKE * subject.patience, timeout_s)
            seen = wire.shake_hands(subject.address, seconds=seconds)
            if trusted(subject, seen, seconds=seconds) != seen.fingerprint:
                raise CheckFailed("the machine shows two different certificates")
            pin = public_key_pin(seen.certificate)
            people.append(stack.enter_context(_open(subject, pin, screenshots, until)))
            return _guarded(people[0], NAMES[0], _log_in)

        perform(NAMES[0], first)
        for name, act in zip(NAMES[1:], (_dashboard, _notebook, _plot), strict=True):
            perform(name, lambda name=name, act=act: _guarded(people[0], name, act))  # type: ignore[misc]
    return results
