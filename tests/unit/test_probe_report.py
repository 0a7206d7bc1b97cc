"""The probe report: JSON, JUnit, table; its counts; no secrets."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from junitparser import Failure, JUnitXml, Skipped, TestSuite
from rich.console import Console

from notebake import terminal
from notebake.address import Address
from notebake.errors import CheckFailed, NotReady, SpecError
from notebake.probe import connection, run
from notebake.probe.report import Report, Result, clean, junit, summary
from notebake.probe.subject import Subject
from notebake.progress import Steps

STARTED = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
REPORT = Report(
    address="https://nb.example:9999",
    started=STARTED,
    results=(
        Result(name="tls", status="passed", seconds=0.25, detail="TLSv1.3"),
        Result(name="plot", status="failed", seconds=1.5, detail="[red]<b>&\x1b[2J\x00\nsecond line"),
        Result(name="kill", status="skipped", detail="no way in"),
    ),
)


def quiet() -> Steps:
    return Steps(console=Console(file=io.StringIO(), width=300))


def test_the_report_as_json() -> None:
    data = json.loads(REPORT.to_json())
    assert data["address"] == "https://nb.example:9999"
    assert data["started"] == "2026-11-23T12:00:00+00:00"
    assert data["passed"] is False
    assert data["seconds"] == 1.75
    assert [(r["name"], r["status"]) for r in data["results"]] == [
        ("tls", "passed"), ("plot", "failed"), ("kill", "skipped"),
    ]  # fmt: skip


def test_the_report_as_junit_counts_its_results(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    path.write_bytes(junit([REPORT]))
    (suite,) = JUnitXml.fromfile(str(path))
    assert isinstance(suite, TestSuite)
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (3, 1, 0, 1)
    assert suite.time == 1.75
    good, bad, skipped = list(suite)
    assert good.is_passed
    assert isinstance(bad.result[0], Failure)
    assert bad.result[0].message == "[red]<b>&\ufffd[2J\ufffd"
    assert isinstance(skipped.result[0], Skipped)


def test_the_table_shows_markup_and_control_characters_as_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    terminal.console().print(REPORT.table())
    out = capsys.readouterr().out
    assert "[red]<b>&" in out
    assert "\x1b[2J" not in out


def test_a_report_passes_if_something_passed_and_nothing_failed() -> None:
    def made(*statuses: str) -> Report:
        results = tuple(Result(name="x", status=status) for status in statuses)  # type: ignore[arg-type]
        return Report(address="x", started=STARTED, results=results)

    assert made("passed", "skipped").passed
    assert not made("passed", "failed").passed
    assert not made("skipped").passed, "nothing was verified"
    assert not made().passed
    assert not made("passed").plus([Result(name="y", status="failed")]).passed


@pytest.mark.parametrize(
    "secret", ["hunter2", 'quo"te', "new\nline", "back\\slash", "sp ace", "\u00fcml\u00e4ut"]
)
def test_clean_removes_secrets(secret: str) -> None:
    for text in (f"no: {secret}", f"no: {secret!r}", f"no: {json.dumps(secret)}"):
        cleaned = clean(text, [secret])
        assert "***" in cleaned
        assert secret not in cleaned


def test_the_junit_report_of_several_machines_has_a_suite_for_each(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    path.write_bytes(junit([REPORT, REPORT]))
    whole = JUnitXml.fromfile(str(path))
    assert (whole.tests, whole.failures, whole.skipped) == (6, 2, 2)
    assert [suite.tests for suite in whole] == [3, 3]


def test_the_summary_names_the_failed_checks_of_each_machine() -> None:
    screen = io.StringIO()
    good = Report(address="https://b/", started=STARTED, results=(REPORT.results[0],))
    Console(file=screen, width=120, markup=False).print(summary({"class-1": REPORT, "class-2": good}))
    first, rest = screen.getvalue().split("class-1")[1].split("class-2")
    assert "failed" in first and "plot: [red]<b>&" in first and "\x1b" not in first
    assert "passed" in rest


def test_a_failed_run_prints_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets in the message of an exception are neither in the report nor on the screen."""

    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("the server said: hunter2, T0ken")

    monkeypatch.setattr(connection, "shake_hands", broken)
    subject = Subject(address=Address(host="nb.example"), password="hunter2", token="T0ken")
    steps = quiet()
    report = run.run(subject, started=STARTED, steps=steps)
    screen = steps.console.file
    assert isinstance(screen, io.StringIO)
    for text in (report.to_json(), junit([report]).decode(), screen.getvalue()):
        assert "RuntimeError" in text, "an unexpected exception is a failed check with its message"
        assert "hunter2" not in text
        assert "T0ken" not in text
    assert not report.passed


def test_a_fault_is_reported_once_and_dependent_checks_refer_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def silent(address: Address, *, seconds: float) -> None:
        tries.append(seconds)
        raise NotReady(f"{address}: no response within {seconds:g} s")

    monkeypatch.setattr(connection, "shake_hands", silent)
    subject = Subject(address=Address(host="nb.example"), password="hunter2", timeout_scale=0.1)
    report = run.run(subject, started=STARTED, steps=quiet())
    assert tries == [2.0], "a machine that does not answer takes one time limit, not one for each check"
    details = {result.name: result.detail for result in report.failed}
    assert details.pop("tls") == "nb.example:9999: no response within 2 s"
    assert details.keys() == {
        "fingerprint",
        "san",
        "login_refused",
        "login",
        "plot",
        "profile",
        "builtins",
        "not_root",
        "own_packages",
        "metadata",
    }
    assert all(detail.startswith("needs tls: ") for detail in details.values())


def test_checks_that_cannot_run_are_skipped_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: object, **kwargs: object) -> None:
        raise CheckFailed("no")

    monkeypatch.setattr(connection, "shake_hands", refused)
    report = run.run(Subject(address=Address(host="nb")), started=STARTED, steps=quiet())
    skipped = {result.name: result.detail for result in report.results if result.status == "skipped"}
    assert skipped.keys() == {
        "login",
        "plot",
        "profile",
        "builtins",
        "not_root",
        "own_packages",
        "metadata",
        "cloud_init",
        "port_closed",
        "updates",
        "restart",
        "kill",
        "reboot",
    }
    assert all(skipped.values())


def test_selected_checks_run_in_the_usual_order(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: object, **kwargs: object) -> None:
        raise CheckFailed("no")

    monkeypatch.setattr(connection, "shake_hands", refused)
    subject = Subject(address=Address(host="nb"))
    report = run.run(subject, started=STARTED, steps=quiet(), checks=["san", "tls"])
    assert [result.name for result in report.results] == ["tls", "san"]
    for nonsense in (["tls", "nonsense"], []):
        with pytest.raises(SpecError):
            run.run(subject, started=STARTED, steps=quiet(), checks=nonsense)
