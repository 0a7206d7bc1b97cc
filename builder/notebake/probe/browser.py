"""Probe a machine in a real browser, as a user works: log in, new notebook, Shift-Enter, the plot.

Playwright controls Debian's chromium. Certificate errors are not ignored: chromium accepts only the public
key of the certificate whose fingerprint was verified first (--ignore-certificate-errors-spki-list).
"""

from __future__ import annotations

import base64
import hashlib
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import Error, sync_playwright

from notebake import process
from notebake.errors import CheckFailed, NotReady, SpecError
from notebake.probe import connection
from notebake.probe.attempt import attempt
from notebake.probe.browser_steps import STEPS, Browser, clean_up
from notebake.probe.context import HANDSHAKE
from notebake.probe.report import Result
from notebake.probe.subject import Subject
from notebake.probe.trust import trusted
from notebake.progress import Steps

NAMES = tuple(STEPS)
SIZE = (1280, 800)

# Chromium's options.
ARGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # The probe connects directly to the machine, so its browser must too.
    "--no-proxy-server",
)


def public_key_pin(certificate: bytes) -> str:
    """Return chromium's pin of a certificate (DER): Base64 of the SHA-256 of its SubjectPublicKeyInfo."""
    key = x509.load_der_x509_certificate(certificate).public_key()
    return base64.b64encode(
        hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
    ).decode()


def _run_step(browsers: list[Browser], name: str) -> str:
    """Run one step; take a screenshot if it fails. Drop Playwright's call log: it contains the password."""
    browser = browsers[0]
    try:
        return STEPS[name][1](browser)
    except Exception as error:
        with suppress(Error):
            browser.page.screenshot(path=browser.folder / f"failed-{name}.png", timeout=10_000)
        if not isinstance(error, Error):
            raise
        text = str(error).split("\n")[0]
        raise NotReady(text, f"see the screenshot failed-{name}.png") from None


@contextmanager
def _open(subject: Subject, pin: str, folder: Path, until: float) -> Iterator[Browser]:
    with (
        # Chromium may still be writing when the folder is deleted.
        tempfile.TemporaryDirectory(prefix="notebake-browser-", ignore_cleanup_errors=True) as profile,
        sync_playwright() as playwright,
    ):
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=process.which("chromium"),
            headless=True,
            args=[*ARGS, f"--ignore-certificate-errors-spki-list={pin}"],
            env={**process.environment({"HOME": profile})},
            viewport={"width": SIZE[0], "height": SIZE[1]},
            locale="en-US",
            timeout=max(1.0, (until - time.monotonic()) * 1000),
        )
        try:
            page = context.pages[0] if context.pages else context.new_page()
            browser = Browser(subject=subject, page=page, folder=folder, until=until)
            yield browser
            with suppress(Error):
                clean_up(browser, page)
        finally:
            context.close()


def visit(
    subject: Subject, *, screenshots: Path, timeout_s: float, steps: Steps | None = None
) -> list[Result]:
    """Log in, create a notebook, run `plot(randn(50))`, check the plot. Return a result for each of NAMES.

    Screenshots are written to the folder `screenshots`, which is created: 1-login, 2-dashboard, 3-notebook,
    4-plot (PNG, 1280 x 800), and failed-NAME for a failed step. `timeout_s` is for all steps together.
    After a failure the later steps fail with `needs NAME`. The notebook and its kernel are deleted at the
    end. Raises MissingTool without chromium, SpecError without password and token.
    """
    steps = steps or Steps()
    if not subject.secrets:
        raise SpecError("the browser needs the password or the token to log in")
    process.which("chromium")
    screenshots.mkdir(parents=True, exist_ok=True)
    until, results = time.monotonic() + timeout_s, list[Result]()

    def perform(name: str, step: Callable[[], str]) -> None:
        failed = next((result for result in results if result.status == "failed"), None)
        if failed:
            results.append(Result(name=name, status="failed", detail=f"needs {failed.name}"))
        else:
            results.append(attempt(name, STEPS[name][0], step, steps=steps, secrets=subject.secrets))

    with ExitStack() as stack:
        browsers: list[Browser] = []

        def first() -> str:
            seconds = min(HANDSHAKE * subject.timeout_scale, timeout_s)
            handshake = connection.shake_hands(subject.address, seconds=seconds)
            if trusted(subject, handshake, seconds=seconds) != handshake.fingerprint:
                raise CheckFailed("the machine presents two different certificates")
            pin = public_key_pin(handshake.certificate)
            browsers.append(stack.enter_context(_open(subject, pin, screenshots, until)))
            return _run_step(browsers, NAMES[0])

        perform(NAMES[0], first)
        for name in NAMES[1:]:
            perform(name, partial(_run_step, browsers, name))
    return results
