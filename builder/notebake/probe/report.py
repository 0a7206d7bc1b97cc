"""The probe report: as a table, JSON and JUnit XML. None contains passwords, tokens or cookies."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal
from xml.etree import ElementTree

from rich.table import Table
from rich.text import Text

from notebake import terminal

DETAIL_LENGTH = 500  # characters
Status = Literal["passed", "failed", "skipped"]
_STYLES: dict[Status, str] = {"passed": "green", "failed": "red", "skipped": "yellow"}
# Characters that XML 1.0 does not allow or that would control a terminal.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


def clean(text: str, secrets: Iterable[str] = ()) -> str:
    """Return `text` with control characters replaced and `secrets` masked.

    It is cut after `DETAIL_LENGTH` characters: an error message may contain a whole HTML page.
    """
    for secret in secrets:
        text = text.replace(secret, "***")
        # Also as repr() and JSON escape it.
        for form in (repr(secret)[1:-1], json.dumps(secret)[1:-1]):
            text = text.replace(form, "***")
    text = _CONTROL.sub("�", text)
    return text if len(text) <= DETAIL_LENGTH else text[:DETAIL_LENGTH].rstrip() + " ..."


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of one check: name, status, duration in seconds, and a detail for users."""

    name: str
    status: Status
    seconds: float = 0.0
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Report:
    """All results of one probe. `started` is timezone-aware; `image`: SHA-256 of the disk, if it is known."""

    address: str
    image: str | None = None
    started: datetime
    results: tuple[Result, ...] = field(default=())

    @property
    def passed(self) -> bool:
        """Whether at least one check passed and none failed."""
        return not self.failed and any(result.status == "passed" for result in self.results)

    @property
    def failed(self) -> tuple[Result, ...]:
        """The checks that failed."""
        return tuple(result for result in self.results if result.status == "failed")

    @property
    def seconds(self) -> float:
        """The total duration of all checks."""
        return round(sum(result.seconds for result in self.results), 3)

    def plus(self, results: Sequence[Result]) -> Report:
        """Return this report with `results` appended."""
        return replace(self, results=(*self.results, *results))

    def to_dict(self) -> dict[str, Any]:
        """Return the object for JSON; an image's record contains the same object."""
        return {
            "address": self.address,
            "image": self.image,
            "started": self.started.isoformat(),
            "passed": self.passed,
            "seconds": self.seconds,
            "results": [
                {
                    "name": result.name,
                    "status": result.status,
                    "seconds": round(result.seconds, 3),
                    "detail": result.detail,
                }
                for result in self.results
            ],
        }

    def to_json(self) -> str:
        """Return the JSON text, with a trailing newline."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n"

    def table(self) -> Table:
        """Return the table to print with rich."""
        table = terminal.table("check", "", "seconds", "detail", title=self.address)
        table.columns[0].no_wrap = True
        table.columns[2].justify = "right"
        for result in self.results:
            table.add_row(
                result.name,
                Text(result.status, _STYLES[result.status]),
                f"{result.seconds:.1f}",
                clean(result.detail),
            )
        return table


def junit(reports: Sequence[Report]) -> bytes:
    """Return JUnit XML (UTF-8): a test suite for each report, with a test case for each check."""
    suites = ElementTree.Element(
        "testsuites", _counts([result for report in reports for result in report.results])
    )
    suites.set("name", "notebake probe")
    for report in reports:
        place = {"name": clean(report.address), "timestamp": report.started.isoformat(timespec="seconds")}
        suite = ElementTree.SubElement(suites, "testsuite", place | _counts(report.results))
        for result in report.results:
            case = ElementTree.SubElement(
                suite,
                "testcase",
                {"classname": "notebake.probe", "name": result.name, "time": f"{result.seconds:.3f}"},
            )
            detail = clean(result.detail)
            if result.status == "passed":
                ElementTree.SubElement(case, "system-out").text = detail
            else:
                tag = "failure" if result.status == "failed" else "skipped"
                ElementTree.SubElement(case, tag, {"message": detail.split("\n")[0]}).text = detail
    ElementTree.indent(suites)
    xml: bytes = ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)
    return xml + b"\n"


def _counts(results: Sequence[Result]) -> dict[str, str]:
    return {
        "tests": str(len(results)),
        "failures": str(sum(result.status == "failed" for result in results)),
        "errors": "0",
        "skipped": str(sum(result.status == "skipped" for result in results)),
        "time": f"{sum(result.seconds for result in results):.3f}",
    }


def summary(reports: Mapping[str, Report]) -> Table:
    """Return a table with one line for each probed machine, by name."""
    table = terminal.table("machine", "", "seconds", "failed checks")
    table.columns[2].justify = "right"
    for name, report in reports.items():
        status: Status = "passed" if report.passed else "failed"
        failed = "\n".join(f"{result.name}: {clean(result.detail)}" for result in report.failed)
        table.add_row(clean(name), Text(status, _STYLES[status]), f"{report.seconds:.1f}", failed)
    return table
