"""The HTML reports, on an image and on a catalog, in a real browser."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright
from tests import catalogs

from notebake import process
from notebake.catalog import promote, signing
from notebake.catalog.catalog import Catalog
from notebake.catalog.page import history
from notebake.catalog.page import page as catalog_page
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


HOSTILE = "</script><b onclick=alert(1)>'\"&amp;<!--"
BASH = catalogs.small().software.os_packages["bash"]


@pytest.fixture(scope="module")
def catalog_html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page on a catalog with five versions; the second was stable, the third is damaged."""
    folder = tmp_path_factory.mktemp("catalog")
    signing.make_key(folder / "key")
    catalog, signer = Catalog(str(folder / "catalog")), signing.private_key(folder / "key")
    bash, tar = ("CVE-2026-1", "High", "bash", BASH), (HOSTILE, "Critical", "bash", BASH)
    names = []
    for number, rows in enumerate(((bash,), (bash,), (), (tar,), (tar, bash))):
        known = catalogs.bumped(
            catalogs.small(), numpy=f"3.0.{number}", **({HOSTILE: "1"} if number > 3 else {})
        )
        gate = catalogs.scanned(folder / "grype.json", *rows) if rows else None
        probe = catalogs.probe(reboot=40.0 + number)
        names.append(
            catalogs.put(catalog, folder / "baked", number, signer, known=known, probe=probe, gate=gate)
        )
    now = catalogs.START + 6 * catalogs.WEEK
    promote.promote(catalog, catalog.find(names[1]), "stable", signer=signer, now=now)
    damaged = catalog.find(names[2])
    (folder / "catalog" / damaged.folder / damaged.record).write_bytes(b"{}")
    path = folder / "catalog.html"
    path.write_bytes(
        catalog_page.render(history.read(catalogs.trusting(catalog, signer.verifier)), verified=True)
    )
    return path


def rows_of(tab: Page) -> list[str]:
    return [" ".join(text.split()) for text in tab.locator(".changes tbody tr").all_inner_texts()]


def test_a_click_on_two_versions_shows_their_difference(browser: Page, catalog_html: Path) -> None:
    chromium = browser.context.browser
    assert chromium is not None
    tab = chromium.new_page()
    asked: list[str] = []
    said: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.goto(catalog_html.as_uri())
    without = chromium.new_context(java_script_enabled=False)
    plain = without.new_page()
    plain.goto(catalog_html.as_uri())
    # What the script shows first is what the page says without it: stable to newest.
    assert rows_of(tab) == rows_of(plain) == [
        "Python packages 2", f"added {HOSTILE} 1 +1.0 MB", "changed numpy 3.0.1 3.0.4 +1.0 MB",
        "known vulnerabilities 1", f"added {HOSTILE} in bash critical",
    ]  # fmt: skip
    for selector in (".summary", ".packages tbody", ".legend", ".findings tbody"):
        assert tab.locator(selector).inner_text() == plain.locator(selector).inner_text(), selector
    assert (
        not plain.get_by_text("Choose two to compare").is_visible()
        and plain.get_by_text("Without Java").is_visible()
    )
    without.close()

    tab.locator(".versions").get_by_role("button", name="1.0.3").click()
    tab.locator(".versions").get_by_role("button", name="1.0.0").click()
    assert rows_of(tab) == [
        "Python packages 1", "changed numpy 3.0.0 3.0.3 ±0",
        "known vulnerabilities 2", f"added {HOSTILE} in bash critical", "removed CVE-2026-1 in bash high",
    ]  # fmt: skip
    pressed = tab.locator(".versions button[aria-pressed=true]")
    assert pressed.all_inner_texts() == ["1.0.3", "1.0.0"]
    assert tab.locator(".to-name").all_inner_texts() == ["1.0.3", "1.0.3"]
    assert tab.locator(".findings tbody tr").count() == 1
    # A version of the drawings is one of the table.
    tab.locator(".timeline [data-v='4'] circle").click()
    assert pressed.all_inner_texts() == [tab.locator(".versions button").first.inner_text(), "1.0.0"]
    tab.locator(".chart").first.locator("[data-v='1'] circle").click()
    assert tab.locator("select").nth(0).locator("option:checked").inner_text() == "1.0.1"
    # With the keyboard only.
    tab.locator("select").nth(0).select_option("1.0.0")
    tab.locator(".versions").get_by_role("button", name="1.0.1").focus()
    tab.keyboard.press("Enter")
    assert rows_of(tab) == ["Python packages 1", "changed numpy 3.0.0 3.0.1 ±0"]
    assert "1 changed, 0 added, 0 removed; disk" in tab.locator(".summary").inner_text()
    tab.get_by_role("button", name="Show all").click()
    shown = tab.locator(".packages tbody tr").count()
    assert shown == len(catalogs.small().software.python_packages) + len(
        catalogs.small().software.os_packages
    )

    assert (
        tab.locator("tr.damaged").inner_text().startswith("1.0.2")
        and tab.locator("tr.damaged button").count() == 0
    )
    assert tab.get_by_text("1 problem").is_visible() and tab.locator("b[onclick]").count() == 0
    tab.set_viewport_size({"width": 360, "height": 640})
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert said == [] and [url for url in asked if not url.startswith(("file:", "data:"))] == []
    tab.close()
