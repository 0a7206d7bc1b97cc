"""Read what the page shows of each target: its versions, and the changes of its channels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from notebake.catalog import channels, verify, vulnerabilities
from notebake.catalog.catalog import Catalog
from notebake.catalog.channels import Move
from notebake.catalog.entry import Entry
from notebake.catalog.head import Head
from notebake.catalog.page import facts
from notebake.catalog.page.facts import Change, Fact
from notebake.catalog.signing import Verifier
from notebake.catalog.vulnerabilities import Finding
from notebake.errors import RecordError
from notebake.record.record import Record

# Reads from a remote catalog that wait at the same time.
_READERS = 16


@dataclass(frozen=True, kw_only=True)
class Version:
    """One version. `problem`: how it is damaged; then nothing else is known of it but its entry.

    `bytes`: of the disk. `probe`: `passed`, `failed`, `incomplete` or None. `time_to_notebook`: seconds of
    the probe's reboot, which ends when the notebook answers again. `scanned`: whether a scanner's report was
    given.
    """

    entry: Entry
    problem: str | None = None
    system: str = ""
    bytes: int = 0
    probe: str | None = None
    time_to_notebook: float | None = None
    scanned: bool = False
    contents: tuple[Fact, ...] = ()

    @property
    def name(self) -> str:
        """MAJOR.MINOR.PATCH."""
        return self.entry.version

    @property
    def packages(self) -> int:
        """The number of its packages."""
        return sum(fact.category in (facts.PYTHON, facts.SYSTEM) for fact in self.contents)

    @property
    def findings(self) -> list[Finding]:
        """The known vulnerabilities, the worst first."""
        return [fact.finding for fact in self.contents if fact.finding]

    def since(self, older: Version) -> dict[str, list[Change]]:
        """Return the difference to `older`; vulnerabilities only where both were scanned."""
        changes = facts.difference(older.contents, self.contents)
        if not (self.scanned and older.scanned):
            changes.pop(facts.VULNERABILITIES, None)
        return changes


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A time in which a channel pointed to a version; `end` is None for the current one."""

    version: str
    start: datetime
    end: datetime | None


@dataclass(frozen=True, kw_only=True)
class History:
    """One target. `pointers`: channel -> version. `segments`: channel -> where it pointed, oldest first.

    `problems`: of its channels.
    """

    target: str
    versions: tuple[Version, ...]
    pointers: dict[str, str]
    segments: dict[str, list[Segment]]
    problems: tuple[str, ...]

    @property
    def whole(self) -> list[Version]:
        """The versions that are not damaged, oldest first."""
        return [version for version in self.versions if version.problem is None]

    @property
    def stable(self) -> Version | None:
        """The stable version, if there is one and it is not damaged."""
        name = self.pointers.get(channels.STABLE)
        return next((version for version in self.whole if version.name == name), None)

    @property
    def pair(self) -> tuple[Version | None, Version | None]:
        """The two versions that the page compares first: the stable one and the newest.

        If they are the same, the newest and the one before it.
        """
        if not self.whole:
            return None, None
        *older, newest = self.whole
        stable = self.stable
        return stable if stable in older else (older[-1] if older else None), newest

    @property
    def shown(self) -> Version | None:
        """The version that stands for the target: the stable one, else the newest."""
        return self.stable or self.pair[1]


def read(catalog: Catalog) -> list[History]:
    """Return all targets of a catalog; with its trust, signatures are verified. Disks are not read.

    A damaged version or channel is a problem of its target, not an error. Raises RecordError for an
    unreadable head, entry or index, CommandFailed if the storage does not answer.
    """
    head = catalog.head()
    if head is None:
        return []
    entries = catalog.entries(head=head)
    verifier = catalog.verifier(head)
    known: dict[Fact, Fact] = {}  # equal facts of many versions share their memory
    with ThreadPoolExecutor(_READERS) as pool:
        versions = pool.map(lambda entry: _version(catalog, entry, verifier, known), entries)
        return list(_histories(head, versions))


def _histories(head: Head, versions: Iterator[Version]) -> Iterator[History]:
    for target, group in groupby(versions, key=lambda version: version.entry.target):
        rows = tuple(group)
        moves = head.of(target)
        disks = {
            entry.name: entry.files[entry.disk].sha256
            for entry in (row.entry for row in rows)
            if entry.disk in entry.files
        }
        problems = verify.channel_problems(target, moves, disks)
        names = dict.fromkeys(move.channel for move in moves)
        yield History(
            target=target,
            versions=rows,
            pointers=channels.pointers(moves, rows[-1].name),
            segments={name: _segments(moves, name) for name in names},
            problems=tuple(problems),
        )


def _segments(moves: Iterable[Move], channel: str) -> list[Segment]:
    own = [move for move in moves if move.channel == channel]
    ends = [*(move.at for move in own[1:]), None]
    return [
        Segment(version=channels.history(own[: number + 1], channel)[-1], start=move.at, end=end)
        for number, (move, end) in enumerate(zip(own, ends, strict=True))
    ]


def _version(catalog: Catalog, entry: Entry, verifier: Verifier | None, known: dict[Fact, Fact]) -> Version:
    name = f"{entry.target}.vulnerabilities.json"
    try:
        record = verify.record(catalog, entry, verifier)
        report = None
        if name in entry.files:
            report = vulnerabilities.parse(catalog.file(entry, name), source=f"{entry.name}: {name}")
        contents = tuple(known.setdefault(fact, fact) for fact in facts.contents(record, report))
    except RecordError as error:
        return Version(entry=entry, problem=error.message)
    return Version(
        entry=entry,
        system=record.software.system.title,
        bytes=record.image.bytes,
        probe=_probe(entry, record),
        time_to_notebook=_time_to_notebook(record),
        scanned=report is not None,
        contents=contents,
    )


def _probe(entry: Entry, record: Record) -> str | None:
    if record.probe is None or entry.probed:
        return None if record.probe is None else "passed"
    return "incomplete" if record.probe.passed else "failed"


def _time_to_notebook(record: Record) -> float | None:
    results = record.probe.results if record.probe else ()
    reboots = (row.seconds for row in results if row.name == "reboot" and row.status == "passed")
    return next(reboots, None)
