"""Render the HTML page on a whole catalog. Same catalog, same bytes: there is no clock in it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup

from notebake import webpage
from notebake.catalog import channels
from notebake.catalog.page import chart, facts, timeline
from notebake.catalog.page.chart import Chart
from notebake.catalog.page.facts import Change, Fact
from notebake.catalog.page.history import History, Version
from notebake.catalog.page.timeline import Timeline
from notebake.catalog.vulnerabilities import SEVERITIES

# Packages that are shown before "show all".
_LARGEST = 15
_TITLES = {"python_packages": "Python packages", "os_packages": "OS packages", "setuid": "setuid files"}
_TITLES["vulnerabilities"] = "known vulnerabilities"


@dataclass(frozen=True, kw_only=True)
class Target:
    """A target with its drawings. `old`, `new`: the versions that are compared first."""

    history: History
    timeline: Timeline
    charts: tuple[tuple[str, str, Chart | None], ...]
    old: Version | None
    new: Version | None
    changes: dict[str, list[Change]]
    packages: list[Fact]

    @property
    def largest(self) -> list[Fact]:
        """The largest packages of the newer version."""
        return self.packages[:_LARGEST]

    @property
    def totals(self) -> dict[str, int]:
        """Bytes of the packages of the newer version, by category."""
        return {
            category: sum(fact.bytes or 0 for fact in self.packages if fact.category == category)
            for category in (facts.PYTHON, facts.SYSTEM)
        }

    def names(self, version: Version) -> list[str]:
        """Return the channels that point to a version."""
        return [name for name, value in self.history.pointers.items() if value == version.name]


def _seconds(value: float) -> str:
    return f"{value:,.1f} s"


def _axis(text: str) -> str:
    return text.replace(".0 ", " ")


def _charts(history: History) -> tuple[tuple[str, str, Chart | None], ...]:
    names = [version.name for version in history.versions]
    sizes = [version.bytes if version.problem is None else None for version in history.versions]
    times = [version.time_to_notebook for version in history.versions]
    return (
        ("Size of the disk", "", chart.lay_out(names, sizes, lambda value: _axis(webpage.size(value)))),
        (
            "Time to notebook",
            "from the probe's reboot until the notebook shows a plot",
            chart.lay_out(names, times, lambda value: _axis(_seconds(value))),
        ),
    )


def _target(history: History, start: datetime, end: datetime) -> Target:
    old, new = history.pair
    return Target(
        history=history,
        timeline=timeline.lay_out(history, start, end),
        charts=_charts(history),
        old=old,
        new=new,
        changes=new.since(old) if old and new else {},
        packages=facts.packages(new.contents) if new else [],
    )


def counts(version: Version) -> dict[str, int]:
    """Return severity -> number of known vulnerabilities that count, the worst first."""
    found = Counter(finding.severity for finding in version.findings if not finding.vex)
    return {severity: found[severity] for severity in reversed(SEVERITIES) if found[severity]}


def _data(histories: list[History]) -> dict[str, Any]:
    numbering, targets = facts.Numbering(), []
    for history in histories:
        current, rows = set[int](), list[dict[str, Any]]()
        for version in history.versions:
            row: dict[str, Any] = {"name": version.name}
            if version.problem is None:
                numbers = numbering.numbers(version.contents)
                row |= {"bytes": version.bytes, "scanned": version.scanned}
                row |= {"add": sorted(numbers - current), "remove": sorted(current - numbers)}
                current = numbers
            rows.append(row)
        targets.append({"name": history.target, "versions": rows})
    titles = [title(category) for category in facts.CATEGORIES]
    return {"categories": facts.CATEGORIES, "titles": titles, "facts": numbering.rows(), "targets": targets}


def title(category: str) -> str:
    """Return the name of a category for people."""
    return _TITLES.get(category, category)


def _json(value: Any) -> Markup:
    """Return JSON that a script element may contain: no `<` ends the element or begins a comment."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return Markup(text.replace("<", "\\u003c"))


def render(histories: list[History], *, verified: bool) -> bytes:
    """Return the page (UTF-8) on at least one target. `verified`: signatures were verified."""
    start, end = timeline.span(histories)
    return webpage.render(
        Path(__file__).parent,
        "page",
        title="Image catalog",
        targets=[_target(history, start, end) for history in histories],
        problems=problems(histories),
        verified=verified,
        data=_json(_data(histories)),
        chart=chart,
        timeline=timeline,
        candidate=channels.CANDIDATE,
        stable=channels.STABLE,
        counts=counts,
        seconds=_seconds,
        name_of=title,
        largest=_LARGEST,
    )


def problems(histories: list[History]) -> list[str]:
    """Return a line for each damaged version or channel."""
    return [
        line
        for history in histories
        for line in (
            *(version.problem for version in history.versions if version.problem is not None),
            *history.problems,
        )
    ]
