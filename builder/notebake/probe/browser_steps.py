"""The steps of the browser probe, with the selectors of Notebook 7 (JupyterLab)."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from playwright.sync_api import Error, Page

from notebake.errors import CheckFailed, NotReady
from notebake.probe.checks.plot import CODE, SMALLEST
from notebake.probe.subject import Subject

_PICTURE = '.jp-CodeCell .jp-OutputArea-output img[src^="data:image/png;base64,"]'
_REJECTED = ".message.error"
_DIALOG = ".jp-Dialog button.jp-mod-accept"
_SIZE = "async image => { await image.decode(); return [image.naturalWidth, image.naturalHeight]; }"
_ASIDE = (4, 796)
_ERROR = '.jp-CodeCell .jp-OutputArea-output[data-mime-type="application/vnd.jupyter.stderr"]'
# Requests from within the page have its cookies, and trust its certificate.
_FETCH = """async ([method, path]) => {
    const cookie = document.cookie.match(/(?:^|; )_xsrf=([^;]+)/);
    const headers = cookie ? {"X-XSRFToken": cookie[1]} : {};
    const answer = await fetch(path, {method, headers, signal: AbortSignal.timeout(60000)});
    return answer.status === 200 ? await answer.json() : null;
}"""


@dataclass(kw_only=True)
class Browser:
    """The state of a browser session. `notebook`: path of the notebook that was created."""

    subject: Subject
    page: Page
    folder: Path
    until: float
    notebook: str | None = None

    def left(self) -> float:
        """Return the milliseconds until the timeout; at least one, because zero means no timeout."""
        return max(1.0, (self.until - time.monotonic()) * 1000)

    def fetch(self, method: str, path: str) -> Any:
        """Send a request from within the page. Return the JSON of a response with status 200, else None."""
        return self.page.evaluate(_FETCH, [method, self.subject.address.path + path])

    def screenshot(self, name: str) -> None:
        """Take a screenshot of the page."""
        self.page.screenshot(path=self.folder / f"{name}.png", timeout=self.left())

    def wait(self, selector: str) -> None:
        """Wait until `selector` is visible; accept dialogs that appear (kernel choice, news)."""
        while True:
            self.page.wait_for_selector(f"{selector}, {_DIALOG}", timeout=self.left())
            dialog = self.page.locator(_DIALOG)
            if dialog.count() == 0:
                return
            with suppress(Error):
                dialog.last.click(timeout=2000)
            if self.left() <= 1:
                raise NotReady("a dialog cannot be closed")


def log_in(browser: Browser) -> str:
    """Log in on the login page."""
    page, subject = browser.page, browser.subject
    address = subject.address
    page.goto(f"{address.url}/login?next={quote(f'{address.path}/tree', safe='')}", timeout=browser.left())
    browser.wait("#password_input")
    browser.screenshot("1-login")
    page.fill("#password_input", subject.password or subject.token or "")
    page.click("#login_submit")
    browser.wait(f".jp-DirListing-content, {_REJECTED}")
    if page.locator(_REJECTED).count():
        raise CheckFailed("the login page rejects the password")
    return "logged in"


def dashboard(browser: Browser) -> str:
    """Wait for the dashboard: the list of files and the New button."""
    browser.wait(".jp-DirListing-content")
    browser.wait('.jp-FileBrowser-toolbar :text-is("New")')
    browser.screenshot("2-dashboard")
    return "the files are listed"


def notebook(browser: Browser) -> str:
    """Create a notebook with the profile's kernel, in a new page, and wait until the kernel is idle."""
    profile = browser.subject.profile
    specs = (browser.fetch("GET", "/api/kernelspecs") or {}).get("kernelspecs", {})
    if profile not in specs:
        raise CheckFailed(f"there is no kernel {profile!r}")
    title = specs[profile]["spec"]["display_name"]
    page = browser.page
    page.locator(".jp-FileBrowser-toolbar").get_by_text("New", exact=True).click(timeout=browser.left())
    entry = page.locator(".lm-Menu-item").get_by_text(title, exact=True)
    with page.context.expect_page(timeout=browser.left()) as opened:
        entry.click(timeout=browser.left())
    browser.page = opened.value
    browser.page.wait_for_url("**/notebooks/*", timeout=browser.left())
    browser.notebook = browser.page.url.split("?")[0].rsplit("/notebooks/", 1)[1]
    browser.wait(".jp-Notebook .jp-CodeCell .cm-content")
    browser.wait('.jp-Notebook-ExecutionIndicator[data-status="idle"]')
    browser.screenshot("3-notebook")
    return f"a notebook with the kernel {title!r}"


def plot(browser: Browser) -> str:
    """Run the tutorial's cell and check its plot. Raises CheckFailed if the cell fails."""
    page = browser.page
    cell = page.locator(".jp-Notebook .jp-CodeCell .cm-content").first
    cell.click(timeout=browser.left())
    page.keyboard.type(CODE)
    page.keyboard.press("Shift+Enter")
    browser.wait(f"{_PICTURE}, {_ERROR}")
    if page.locator(_ERROR).count():
        lines = page.locator(_ERROR).first.inner_text().strip().splitlines()
        raise CheckFailed(f"{CODE}: {lines[-1] if lines else 'an error'}")
    width, height = page.locator(_PICTURE).first.evaluate(_SIZE, timeout=browser.left())
    if min(width, height) < SMALLEST:
        raise CheckFailed(f"{CODE}: the picture is {width} x {height} pixels")
    # The number in front of the cell appears when the kernel is idle again.
    page.locator(".jp-InputPrompt").get_by_text("[1]:").wait_for(timeout=browser.left())
    page.mouse.move(*_ASIDE)
    browser.screenshot("4-plot")
    return f"{width} x {height} pixels in the page"


def clean_up(browser: Browser, first_page: Page) -> None:
    """Delete the notebook and its kernel from the machine."""
    if browser.notebook is None:
        return
    if browser.page is not first_page:
        browser.page.close()
    browser.page = first_page
    for session in browser.fetch("GET", "/api/sessions") or ():
        if session.get("path") == unquote(browser.notebook):
            browser.fetch("DELETE", f"/api/sessions/{session['id']}")
    browser.fetch("DELETE", f"/api/contents/{browser.notebook}")


# Name -> (title, function).
STEPS: dict[str, tuple[str, Callable[[Browser], str]]] = {
    "browser_login": ("the login page accepts the password", log_in),
    "browser_dashboard": ("the dashboard lists the files", dashboard),
    "browser_notebook": ("New creates a notebook", notebook),
    "browser_plot": ("Shift-Enter shows the plot", plot),
}
