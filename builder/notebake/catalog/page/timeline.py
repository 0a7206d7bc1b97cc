"""Lay out a target's time line: its versions as dots, and below them each channel as a row of bars."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from notebake.catalog import channels
from notebake.catalog.page.history import History

# In units of the drawing.
WIDTH = 960
LEFT = 96
RIGHT = 54
LANE = 30
DOTS = 44
_LETTER = 6.8
_GAP = 10

_STEPS = [timedelta(seconds=seconds) for seconds in (1, 5, 15, 60, 300, 900, 3600, 3 * 3600, 6 * 3600)]
_STEPS += [timedelta(days=days) for days in (1, 2, 7, 14)]
_MONTHS = (1, 3, 6, 12, 24, 60)
_TICKS = 9


@dataclass(frozen=True)
class Tick:
    """A time on the axis."""

    x: float
    label: str


@dataclass(frozen=True)
class Dot:
    """A version. `label`: whether there is room for its name. `level`: what it changed, 0 (major) to 2."""

    number: int
    name: str
    x: float
    level: int
    label: bool
    title: str
    damaged: bool


@dataclass(frozen=True)
class Bar:
    """A time in which a channel pointed to a version.

    `label` is empty where it has no room; the current version is named beside the row.
    """

    x: float
    width: float
    version: str
    label: str
    title: str
    current: bool


@dataclass(frozen=True)
class Timeline:
    """All of it. `lanes`: channel -> its bars."""

    ticks: list[Tick]
    dots: list[Dot]
    lanes: dict[str, list[Bar]]

    @property
    def height(self) -> int:
        """The height of the drawing."""
        return DOTS + LANE * len(self.lanes) + 52


def span(histories: Iterable[History]) -> tuple[datetime, datetime]:
    """Return the first and the last time in a catalog: all its time lines have the same axis."""
    times = [
        time
        for history in histories
        for time in (
            *(version.entry.created for version in history.versions),
            *(bar.start for bars in history.segments.values() for bar in bars),
        )
    ]
    first, last = min(times).astimezone(UTC), max(times).astimezone(UTC)
    margin = (last - first) * 0.02 or timedelta(hours=12)
    return first - margin, last + margin


def lay_out(history: History, start: datetime, end: datetime) -> Timeline:
    """Return the time line of a target from `start` to `end`."""

    def x(time: datetime) -> float:
        return round(LEFT + (time - start) / (end - start) * (WIDTH - LEFT - RIGHT), 1)

    lanes = {}
    for channel in sorted(history.segments, key=lambda name: (name != channels.STABLE, name)):
        bars = []
        for segment in history.segments[channel]:
            left, right = x(segment.start), x(segment.end or end)
            room = segment.end is not None and len(segment.version) * _LETTER + _GAP <= right - left
            until = f"until {_minute(segment.end)}" if segment.end else "now"
            bars.append(
                Bar(
                    x=left,
                    width=round(max(right - left, 1), 1),
                    version=segment.version,
                    label=segment.version if room else "",
                    title=f"{channel} is {segment.version}: from {_minute(segment.start)} {until}",
                    current=segment.end is None,
                )
            )
        lanes[channel] = bars
    return Timeline(
        ticks=[Tick(x(time), label) for time, label in _ticks(start, end)],
        dots=_dots(history, [x(version.entry.created) for version in history.versions]),
        lanes=lanes,
    )


def _minute(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M}"


def _level(name: str) -> int:
    _, minor, patch = name.split(".")
    return 2 if patch != "0" else 1 if minor != "0" else 0


def _dots(history: History, places: list[float]) -> list[Dot]:
    versions = history.versions
    pointed = set(history.pointers.values())

    def importance(number: int) -> tuple[bool, bool, int, int]:
        name = versions[number].name
        return number != len(versions) - 1, name not in pointed, _level(name), -number

    taken: list[tuple[float, float]] = []
    labelled = set()
    for number in sorted(range(len(versions)), key=importance):
        half = (len(versions[number].name) * _LETTER + _GAP) / 2
        left, right = places[number] - half, places[number] + half
        if all(right <= start or left >= end for start, end in taken):
            taken.append((left, right))
            labelled.add(number)
    return [
        Dot(
            number=number,
            name=version.name,
            x=places[number],
            level=_level(version.name),
            label=number in labelled,
            title=f"{version.name}, added {_minute(version.entry.created)}",
            damaged=version.problem is not None,
        )
        for number, version in enumerate(versions)
    ]


def _ticks(start: datetime, end: datetime) -> list[tuple[datetime, str]]:
    for step in _STEPS:
        if (end - start) / step <= _TICKS:
            return list(_labelled(_regular(start, end, step), step))
    for months in _MONTHS:
        found = list(_monthly(start, end, months))
        if len(found) <= _TICKS:
            break
    if months >= 12:
        return [(time, f"{time:%Y}") for time in found]
    # A January, and the first one, say the year.
    return [
        (time, f"{time:%b %Y}" if number == 0 or time.month == 1 else f"{time:%b}")
        for number, time in enumerate(found)
    ]


def _regular(start: datetime, end: datetime, step: timedelta) -> Iterator[datetime]:
    # Weeks begin on Mondays, as 1970-01-05 was one.
    zero = datetime(1970, 1, 5, tzinfo=UTC)
    time = zero - (zero - start) // step * step
    while time <= end:
        yield time
        time += step


def _labelled(times: Iterable[datetime], step: timedelta) -> Iterator[tuple[datetime, str]]:
    day = None
    for time in times:
        if step >= timedelta(days=1):
            yield time, f"{time.day} {time:%b}" + (f" {time:%Y}" if day is None else "")
        else:
            clock = f"{time:%H:%M:%S}" if step < timedelta(minutes=1) else f"{time:%H:%M}"
            yield time, clock if day == time.date() else f"{time.day} {time:%b} {clock}"
        day = time.date()


def _monthly(start: datetime, end: datetime, months: int) -> Iterator[datetime]:
    count = start.year * 12 + start.month - 1
    count = -(-count // months) * months
    while True:
        time = datetime(count // 12, count % 12 + 1, 1, tzinfo=UTC)
        if time > end:
            return
        if time >= start:
            yield time
        count += months
