"""Lay out a line chart of one number over the versions of a target."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# In units of the drawing.
WIDTH = 480
HEIGHT = 200
LEFT = 66
RIGHT = 18
TOP = 14
BOTTOM = 30
_LINES = 4
_LABELS = 4


@dataclass(frozen=True)
class Point:
    """A version with its value."""

    number: int
    x: float
    y: float
    title: str


@dataclass(frozen=True)
class Label:
    """A text at an axis. `anchor`: start, middle or end."""

    at: float
    text: str
    anchor: str = "middle"


@dataclass(frozen=True)
class Chart:
    """All of it. `lines`: paths of consecutive versions with a value. `step`: width of a version."""

    points: list[Point]
    lines: list[str]
    rows: list[Label]
    columns: list[Label]
    step: float


def lay_out(
    names: Sequence[str], values: Sequence[float | None], text: Callable[[float], str]
) -> Chart | None:
    """Return the chart of `values`, one for each of `names` (None: not known); None without any value.

    `text` writes a value with its unit.
    """
    known = [value for value in values if value is not None]
    if not known:
        return None
    rows = _round_numbers(min(known), max(known))
    low, high = rows[0], rows[-1]
    step = (WIDTH - LEFT - RIGHT) / max(len(names) - 1, 1)

    def x(number: int) -> float:
        # A single version is in the middle.
        return round(LEFT + (number * step if len(names) > 1 else step / 2), 1)

    def y(value: float) -> float:
        return round(HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)

    points = [
        Point(number, x(number), y(value), f"{name}: {text(value)}")
        for number, (name, value) in enumerate(zip(names, values, strict=True))
        if value is not None
    ]
    lines: list[list[Point]] = []
    for point in points:
        if lines and lines[-1][-1].number == point.number - 1:
            lines[-1].append(point)
        else:
            lines.append([point])
    return Chart(
        points=points,
        lines=["M" + "L".join(f"{point.x} {point.y}" for point in line) for line in lines if len(line) > 1],
        rows=[Label(y(value), text(value), "end") for value in rows],
        columns=[_column(number, len(names), x(number), names[number]) for number in _spread(len(names))],
        step=round(step, 2),
    )


def _round_numbers(low: float, high: float) -> list[float]:
    """Return about four evenly spaced round numbers around `low` and `high`, none negative."""
    least = max(high * 0.02, 1.0)
    if high - low < least:
        low, high = max(0.0, low - least), high + least
    raw = (high - low) / (_LINES - 1)
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * unit for factor in (1, 2, 2.5, 5, 10) if factor * unit >= raw)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [number * step for number in range(first, max(last, first + 1) + 1)]


def _spread(count: int) -> list[int]:
    """Return the numbers of the versions to name at the axis: the first, the last, some between."""
    if count <= _LABELS:
        return list(range(count))
    return sorted({round(part * (count - 1) / (_LABELS - 1)) for part in range(_LABELS)})


def _column(number: int, count: int, x: float, name: str) -> Label:
    if count == 1:
        return Label(x, name)
    return Label(x, name, "start" if number == 0 else "end" if number == count - 1 else "middle")
