"""The HTML report in a real browser."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright
from tests import catalogs

from notebake import process
from notebake.record import diff, page

PICTURE = Path(__file__).parents[2] / "docs/notebook.png"


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    with tempfile.TemporaryDirectory() as profile, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=str(process.which("chromium")),
            args=["--no-sandbox", "--disable-gpu"],
            env={**process.environment({"HOME": profile})},
        )
        yield chromium.new_page()
        chromium.close()


def test_the_page_shows_steps_difference_probe_and_screenshot(browser: Page, tmp_path: Path) -> None:
    old = catalogs.real()
    new = catalogs.changed(old, lambda data: data["python_packages"].update({"<b>new</b>": "1.0"}))
    new = new.model_copy(
        update={"probe": catalogs.probe(passed=False), "version": "1.1.0", "made_from": "fixture"}
    )
    path = tmp_path / "report.html"
    asked: list[str] = []
    browser.on("request", lambda request: asked.append(request.url))
    path.write_bytes(page.render(new, difference=diff.difference(old, new), screenshot=PICTURE.read_bytes()))
    browser.goto(path.as_uri())
    assert browser.title() == "debian-13 1.1.0"
    assert browser.locator("h1 .mark").inner_text() == "made from a fixture, no machine was started"
    bars = browser.locator("#steps rect")
    assert bars.count() == len(new.steps)
    widths = [bars.nth(number).bounding_box()["width"] for number in range(bars.count())]  # type: ignore[index]
    seconds = [step.seconds for step in new.steps]
    assert widths.index(max(widths)) == seconds.index(max(seconds)) and max(widths) > 100
    assert browser.locator("#difference").inner_text().split("\n") == ["python packages\t+ <b>new</b>\t1.0"]
    assert browser.locator("#probe .failed").all_inner_texts() == ["failed"]
    assert browser.locator("#screenshot").evaluate("image => image.complete && image.naturalWidth") == 1280
    assert not browser.get_by_text("openssh-server").is_visible()
    browser.locator("#OS-packages summary").click()
    assert browser.get_by_text("openssh-server", exact=True).is_visible()
    assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
    # The page loads nothing else, so it can be sent by mail.
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
