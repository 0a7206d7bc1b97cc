"""Kernels end: idle ones without a page, those that take too much memory; a page says why one died."""

from __future__ import annotations

import contextlib
import datetime
import json
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, TimeoutError, sync_playwright
from tests.integration.jupyter_servers import JupyterServers, wait_until

from notebake import process
from notebake.probe import connection
from notebake.probe.browser import ARGS, public_key_pin
from notebake.probe.browser_steps import Browser, log_in
from notebake.probe.context import Context
from notebake.probe.subject import Subject
from notebake.provision import linux

# Seconds: the host may be busy, and a kernel's first start is long.
LIMIT = 300.0
STDERR = '.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.stderr"]'
IDLE = '.jp-Notebook-ExecutionIndicator[data-status="idle"]'


@pytest.fixture(scope="module")
def subject(jupyter: JupyterServers) -> Subject:
    return jupyter.ready(jupyter.start("life", spec={"kernel_prefix": linux.kernel_prefix(1024)}))


@pytest.fixture
def page(subject: Subject) -> Iterator[Page]:
    """A page that is logged in."""
    with open_page(subject) as page:
        yield page


@contextlib.contextmanager
def open_page(subject: Subject) -> Iterator[Page]:
    pin = public_key_pin(connection.shake_hands(subject.address, seconds=LIMIT).certificate)
    with (
        tempfile.TemporaryDirectory(prefix="notebake-browser-", ignore_cleanup_errors=True) as profile,
        sync_playwright() as playwright,
    ):
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=process.which("chromium"),
            args=[*ARGS, f"--ignore-certificate-errors-spki-list={pin}"],
            env={**process.environment({"HOME": profile})},
            locale="en-US",
        )
        context.set_default_timeout(LIMIT * 1000)
        page = context.new_page()
        log_in(Browser(subject=subject, page=page, folder=Path(profile), until=time.monotonic() + LIMIT))
        yield page
        context.close()


def notebook(folder: Path, name: str, *cells: str) -> None:
    """Write a notebook as old ones are: without a kernel."""
    old = [
        {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": cell}
        for cell in cells
    ]
    (folder / name).write_text(json.dumps({"cells": old, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}))


def run_cell(page: Page, number: int) -> None:
    """Run a cell of a notebook, by hand: again if the page was not ready for it, as while a kernel starts.

    A kernel that dies takes the cell's prompt back, at once where the server looks in that moment: the page's
    dialog stays.
    """
    cell = page.locator(".jp-CodeCell").nth(number)
    prompt = cell.locator(".jp-InputPrompt").filter(has_text=re.compile(r"\[(\*|\d+)\]"))
    ran = prompt.or_(page.locator(".jp-Dialog")).first
    until = time.monotonic() + LIMIT
    while ran.count() == 0:
        assert time.monotonic() < until, "the page does not run the cell"
        cell.locator(".cm-content").click()
        page.keyboard.press("Shift+Enter")
        with contextlib.suppress(TimeoutError):
            ran.wait_for(timeout=5000)
    if number == 0:
        cell.get_by_text("before", exact=True).wait_for()


DEATHS = {
    "import os; os.kill(os.getpid(), 9)": "it was killed by SIGKILL",
    "import ctypes; ctypes.string_at(0)": "it was killed by SIGSEGV",
    "import os; os._exit(3)": "it exited with code 3",
}


@pytest.mark.parametrize("code", DEATHS)
def test_the_page_says_why_a_kernel_died(
    page: Page, subject: Subject, jupyter: JupyterServers, code: str
) -> None:
    name = f"death-{list(DEATHS).index(code)}.ipynb"
    notebook(jupyter.root / "life/notebooks", name, "print('before')", code)
    page.goto(f"{subject.address.url}/notebooks/{name}")
    # An old notebook asks for no kernel.
    page.wait_for_selector(f"{IDLE}, .jp-Dialog")
    assert page.locator(".jp-Dialog").count() == 0, page.locator(".jp-Dialog").inner_text()
    run_cell(page, 0)
    run_cell(page, 1)
    page.wait_for_selector(STDERR)
    text = page.locator(STDERR).inner_text()
    assert text.strip() == f"The kernel died: {DEATHS[code]}."
    assert page.locator(".jp-CodeCell").nth(1).locator(STDERR).count() == 1


def context_of(subject: Subject) -> Context:
    return Context(subject=subject, now=datetime.datetime.now(datetime.UTC))


def test_too_much_memory_is_an_error_of_the_cell(subject: Subject) -> None:
    context = context_of(subject)
    outcome = context.kernel().execute("x = bytearray(2 << 30)", seconds=LIMIT)
    assert outcome.error is not None and outcome.error[0] == "MemoryError"
    assert context.kernel().execute("y = bytearray(500 << 20); plot(randn(50))", seconds=LIMIT).pictures
    path = "open('/proc/self/oom_score_adj').read()"
    assert context.kernel().execute(f"print({path})", seconds=LIMIT).text.strip() == "500"
    context.leave()


def test_an_idle_kernel_ends_unless_a_page_is_open(jupyter: JupyterServers) -> None:
    # A kernel that starts is idle too, and on a busy host that takes long.
    culled = jupyter.ready(jupyter.start("culled", spec={"cull_idle_timeout": 90}, cull_interval=1))
    context = context_of(culled)

    def kernels() -> set[str]:
        found = context.session().request("GET", "/api/kernels", seconds=LIMIT).json("kernels")
        return {kernel["id"] for kernel in found}

    with open_page(culled) as page:
        notebook(jupyter.root / "culled/notebooks", "open.ipynb", "1")
        page.goto(f"{culled.address.url}/notebooks/open.ipynb")
        page.wait_for_selector(IDLE)
        of_page = kernels()
        context.kernel()
        # Both are idle for as long: the one without a page ends.
        wait_until(lambda: kernels() == of_page, "the kernel without a page did not end", LIMIT)
    wait_until(lambda: not kernels(), "the kernel of the closed page did not end", LIMIT)


def test_no_request_of_a_page_fails(page: Page, subject: Subject, jupyter: JupyterServers) -> None:
    failed: list[str] = []
    page.on("response", lambda answer: failed.append(answer.url) if answer.status >= 400 else None)
    notebook(jupyter.root / "life/notebooks", "plain.ipynb", "1")
    page.goto(f"{subject.address.url}/notebooks/plain.ipynb")
    page.wait_for_selector(IDLE)
    page.wait_for_load_state("networkidle")
    assert failed == []
