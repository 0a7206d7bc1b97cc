"""The contents of versions as facts, the difference of two, and compact data for the script of the page.

A fact is one line of a version's contents. Most versions share most facts, so 200 versions of an image are
not much larger than one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from notebake.catalog.vulnerabilities import SEVERITIES, Finding, Report
from notebake.record import diff
from notebake.record.record import Record

PYTHON, SYSTEM = "python_packages", "os_packages"
VULNERABILITIES = "vulnerabilities"
# In display order.
CATEGORIES = (*diff.CATEGORIES, VULNERABILITIES)


@dataclass(frozen=True)
class Fact:
    """One line of the contents. `bytes`: installed size of a package, where it is known."""

    category: str
    name: str
    value: str
    bytes: int | None = None
    finding: Finding | None = None


@dataclass(frozen=True)
class Change:
    """One line of a difference; `old` or `new` is None for what was added or removed."""

    name: str
    old: Fact | None
    new: Fact | None

    @property
    def growth(self) -> int | None:
        """The change of the installed size in bytes, where it is known."""
        sizes = [fact.bytes if fact else 0 for fact in (self.old, self.new)]
        return None if sizes[0] is None or sizes[1] is None else sizes[1] - sizes[0]


def contents(record: Record, report: Report | None) -> Iterable[Fact]:
    """Return the facts of a version, in the order of CATEGORIES; of vulnerabilities, the worst first."""
    software = record.software
    sizes: Mapping[str, Mapping[str, int]] = {SYSTEM: software.os_sizes, PYTHON: software.python_sizes}
    for category, values in diff.contents(record).items():
        for name, value in values.items():
            yield Fact(category, name, value, sizes.get(category, {}).get(name))
    names = set()
    for finding in sorted(report.findings if report else (), key=_worst_first):
        name = " in ".join(filter(None, (finding.id, finding.package)))
        if name in names:
            name = f"{name} {finding.version}"
        if name not in names:
            names.add(name)
            value = f"{finding.severity}, {finding.vex}" if finding.vex else finding.severity
            yield Fact(VULNERABILITIES, name, value, finding=finding)


def _worst_first(finding: Finding) -> tuple[Any, ...]:
    severity = SEVERITIES.index(finding.severity)
    return bool(finding.vex), -severity, finding.id, finding.package, finding.version


def difference(old: Iterable[Fact], new: Iterable[Fact]) -> dict[str, list[Change]]:
    """Return the lines that differ, by category, sorted by name. A size alone is no difference."""
    before, after = ({(fact.category, fact.name): fact for fact in facts} for facts in (old, new))
    changes: dict[str, list[Change]] = {category: [] for category in CATEGORIES}
    for category, name in sorted({**before, **after}):
        rows = before.get((category, name)), after.get((category, name))
        if rows[0] is None or rows[1] is None or rows[0].value != rows[1].value:
            changes[category].append(Change(name, *rows))
    return {category: rows for category, rows in changes.items() if rows}


def packages(facts: Iterable[Fact]) -> list[Fact]:
    """Return the packages whose size is known, the largest first."""
    found = [fact for fact in facts if fact.category in (PYTHON, SYSTEM) and fact.bytes is not None]
    return sorted(found, key=lambda fact: (-(fact.bytes or 0), fact.name))


class Numbering:
    """Numbers facts, each once."""

    def __init__(self) -> None:
        self._numbers: dict[Fact, int] = {}

    def numbers(self, facts: Iterable[Fact]) -> set[int]:
        """Return the numbers of `facts`."""
        return {self._numbers.setdefault(fact, len(self._numbers)) for fact in facts}

    def rows(self) -> list[list[Any]]:
        """Return each fact as [category, name, value, bytes, finding], without nulls at the end."""
        return [_row(fact) for fact in self._numbers]


def _row(fact: Fact) -> list[Any]:
    row: list[Any] = [CATEGORIES.index(fact.category), fact.name, fact.value]
    if fact.bytes is not None or fact.finding:
        row.append(fact.bytes)
    if found := fact.finding:
        row.append([found.severity, found.id, found.package, found.version, found.fixed_in, found.vex])
    return row
