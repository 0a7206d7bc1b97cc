"""The person at the browser: what they look at, click and type. Notebook 7's selectors (JupyterLab's)."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from playwright.sync_api import Error, Page

from notebake.errors import CheckFailed, NotReady
from notebake.probe.checks.plot import CODE, SMALLEST
from notebake.probe.subject import Subject

_PICTURE = '.jp-CodeCell .jp-OutputArea-output img[src^="data:image/png;base64,"]'
_REFUSED = ".message.error"
_DIALOG = ".jp-Dialog button.jp-mod-accept"
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


@dataclass(kw_only=True)
class Person:
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
        """The JSON that the server gives this page for a 200, else None."""
        return self.page.evaluate(_FETCH, [method, path])

    def picture(self, name: str) -> None:
        """A screenshot of the page as it is."""
        self.page.screenshot(path=self.folder / f"{name}.png", timeout=self.left())

    def wait(self, selector: str) -> None:
        """Until `selector` is visible; says yes to dialogs on the way (kernel choice, news)."""
        while True:
            self.page.wait_for_selector(f"{selector}, {_DIALOG}", timeout=self.left())
            dialog = self.page.locator(_DIALOG)
            if dialog.count() == 0:
                return
            with suppress(Error):
                dialog.last.click(timeout=2000)
            if self.left() <= 1:
                raise NotReady("a dialog stays in the way")


def log_in(person: Person) -> str:
    """The login page, and through it to the dashboard."""
    page, subject = person.page, person.subject
    page.goto(f"{subject.address.url}/login?next=%2Ftree", timeout=person.left())
    person.wait("#password_input")
    person.picture("1-login")
    page.fill("#password_input", subject.password or subject.token or "")
    page.click("#login_submit")
    person.wait(f".jp-DirListing-content, {_REFUSED}")
    if page.locator(_REFUSED).count():
        raise CheckFailed("the login page refuses the password")
    return "logged in"


def dashboard(person: Person) -> str:
    """The list of files with its New button."""
    person.wait(".jp-DirListing-content")
    person.wait('.jp-FileBrowser-toolbar :text-is("New")')
    person.picture("2-dashboard")
    return "the files are listed"


def notebook(person: Person) -> str:
    """New, the kernel of the profile's name: a notebook in a page of its own, its kernel idle."""
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
    person.wait('.jp-Notebook-ExecutionIndicator[data-status="idle"]')
    person.picture("3-notebook")
    return f"a notebook with the kernel {title!r}"


def plot(person: Person) -> str:
    """The tutorial's cell and its picture. Raises CheckFailed for an error in its place."""
    page = person.page
    cell = page.locator(".jp-Notebook .jp-CodeCell .cm-content").first
    cell.click(timeout=person.left())
    page.keyboard.type(CODE)
    page.keyboard.press("Shift+Enter")
    person.wait(f"{_PICTURE}, {_ERROR}")
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


def tidy(person: Person, start: Page) -> None:
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


ACTS: dict[str, tuple[str, Callable[[Person], str]]] = {
    "browser_login": ("the login page lets in", log_in),
    "browser_dashboard": ("the dashboard shows the files", dashboard),
    "browser_notebook": ("New makes a notebook", notebook),
    "browser_plot": ("Shift-Enter shows the plot", plot),
}
