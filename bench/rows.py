"""One row per benchmark, and the files that keep them: results.json for programs, results.md for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from notebake import files, terminal

FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """What is measured, and its target: a maximum, or True if the answer must be yes.

    `unit` is `""` for a ratio, else `" s"` or `" MiB"`.
    """

    name: str
    what: str
    target: float | bool
    unit: str = ""

    def shown(self, value: float | bool | None) -> str:
        """Return a value of this benchmark as text."""
        if value is None:
            return "not measured"
        if isinstance(value, bool):
            return "yes" if value else "no"
        return f"{value:.2f}{self.unit}"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A result: the median (None: the benchmark failed), the number of runs, and their single values."""

    value: float | bool | None
    runs: int
    detail: str

    def reached(self, target: float | bool) -> bool:
        """Return whether the target is reached; a failed benchmark does not reach it."""
        if self.value is None or isinstance(target, bool):
            return self.value is True
        return self.value <= target


def row(benchmark: Benchmark, outcome: Outcome, host: Mapping[str, Any]) -> dict[str, Any]:
    """Return a benchmark and its outcome as in results.json, with the facts of the host."""
    row = asdict(benchmark) | asdict(outcome)
    return row | {"reached": outcome.reached(benchmark.target), "host": dict(host)}


def table(rows: Iterable[Mapping[str, Any]]) -> Table:
    """Return the rows as a table for the terminal."""
    table = terminal.table("what", "value", "target", "reached", "detail", title="notebake bench")
    for row in rows:
        value, target, reached = _cells(row)
        colour = "green" if row["reached"] else "red"
        table.add_row(row["what"], value, target, Text(reached, colour), row["detail"])
    return table


def save(rows: Iterable[Mapping[str, Any]], order: Iterable[str]) -> None:
    """Write `rows` to both files, in `order` of their names.

    Rows of earlier runs stay, with the facts of their own run: repeating one benchmark must not discard
    the results of the others.
    """
    path = FOLDER / "results.json"
    earlier = json.loads(path.read_text("utf-8")) if path.exists() else []
    known = {row["name"]: dict(row) for row in (*earlier, *rows)}
    kept = [known[name] for name in order if name in known]
    files.write_whole(path, (json.dumps(kept, indent=1) + "\n").encode())
    files.write_whole(FOLDER / "results.md", _markdown(kept).encode())


def _cells(row: Mapping[str, Any]) -> tuple[str, str, str]:
    benchmark = Benchmark(name=row["name"], what=row["what"], target=row["target"], unit=row["unit"])
    limit = benchmark.shown(benchmark.target)
    return (
        benchmark.shown(row["value"]),
        limit if isinstance(benchmark.target, bool) else f"≤ {limit}",
        "yes" if row["reached"] else "no",
    )


def _markdown(rows: list[dict[str, Any]]) -> str:
    lines = [
        "# Speed and memory",
        "",
        "Written by `make bench`. A ratio compares two measurements of the same run on the same host. "
        "With several runs, the value is the median.",
        "",
        "| what | value | target | reached | detail | runs | host |",
        "|---|---|---|---|---|---|---|",
    ]
    hosts: dict[str, int] = {}
    for row in rows:
        host = ", ".join(f"{name} {value}" for name, value in row["host"].items())
        number = hosts.setdefault(host, len(hosts) + 1)
        detail = " ".join(row["detail"].split()).replace("|", "\\|")
        cells = (row["what"], *_cells(row), detail, str(row["runs"]), f"[{number}]")
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", *(f"[{number}] {host}  " for host, number in hosts.items())]
    return "\n".join(lines).rstrip() + "\n"
