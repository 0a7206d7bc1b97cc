"""The same proof as a person gives it, in a real browser: log in, new notebook, Shift-Enter, the plot.

Debian's chromium, driven by Playwright. It trusts the machine by the public key of the certificate
whose fingerprint was checked first (--ignore-certificate-errors-spki-list), not by ignoring errors.
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
from notebake.probe.browser_steps import ACTS, Person, tidy
from notebake.probe.context import HANDSHAKE
from notebake.probe.report import Result
from notebake.probe.subject import Subject
from notebake.probe.trust import trusted
from notebake.progress import Steps

NAMES = tuple(ACTS)
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


def public_key_pin(certificate: bytes) -> str:
    """Base64 of the SHA-256 of the certificate's SubjectPublicKeyInfo (DER in): what chromium takes."""
    key = x509.load_der_x509_certificate(certificate).public_key()
    return base64.b64encode(
        hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
    ).decode()


def _guarded(person: Person, name: str, act: Callable[[Person], str]) -> str:
    """One act; a failure leaves a picture. Playwright's call log is dropped: it quotes what was typed."""
    try:
        return act(person)
    except Exception as error:
        with suppress(Error):
            person.page.screenshot(path=person.folder / f"failed-{name}.png", timeout=10_000)
        if not isinstance(error, Error):
            raise
        text = str(error).split("\n")[0]
        raise NotReady(text, f"failed-{name}.png among the screenshots shows the page") from None


def _act(people: list[Person], name: str) -> str:
    return _guarded(people[0], name, ACTS[name][1])


@contextmanager
def _open(subject: Subject, pin: str, folder: Path, until: float) -> Iterator[Person]:
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
            person = Person(subject=subject, page=start, folder=folder, until=until)
            yield person
            with suppress(Error):
                tidy(person, start)
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
            results.append(attempt(name, ACTS[name][0], act, steps=steps, secrets=subject.secrets))

    with ExitStack() as stack:
        people: list[Person] = []

        def first() -> str:
            seconds = min(HANDSHAKE * subject.patience, timeout_s)
            seen = connection.shake_hands(subject.address, seconds=seconds)
            if trusted(subject, seen, seconds=seconds) != seen.fingerprint:
                raise CheckFailed("the machine shows two different certificates")
            pin = public_key_pin(seen.certificate)
            people.append(stack.enter_context(_open(subject, pin, screenshots, until)))
            return _act(people, NAMES[0])

        perform(NAMES[0], first)
        for name in NAMES[1:]:
            perform(name, partial(_act, people, name))
    return results
