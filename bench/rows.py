"""One row a promise, and the two files that keep them: results.json for programs, results.md for people."""

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
class Promise:
    """What is measured and what is good enough: a number not to be passed, or True for a plain yes.

    `unit` is `""` for a ratio, else `" s"`.
    """

    name: str
    what: str
    target: float | bool
    unit: str = ""

    def shown(self, value: float | bool | None) -> str:
        """A value of this promise as a person reads it."""
        if value is None:
            return "not measured"
        if isinstance(value, bool):
            return "yes" if value else "no"
        return f"{value:.2f}{self.unit}"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came out: the median (None: the measuring failed), the runs behind it, and their own figures."""

    value: float | bool | None
    runs: int
    detail: str

    def reached(self, target: float | bool) -> bool:
        """Whether the promise is kept; what was not measured is not kept."""
        if self.value is None or isinstance(target, bool):
            return self.value is True
        return self.value <= target


def row(promise: Promise, outcome: Outcome, host: Mapping[str, Any]) -> dict[str, Any]:
    """A promise and its outcome as results.json keeps them, with the host's facts at that moment."""
    made = asdict(promise) | asdict(outcome)
    return made | {"reached": outcome.reached(promise.target), "host": dict(host)}


def table(rows: Iterable[Mapping[str, Any]]) -> Table:
    """The rows for a terminal."""
    made = terminal.table("what", "value", "target", "reached", "detail", title="notebake bench")
    for each in rows:
        value, target, mark = _cells(each)
        colour = "green" if each["reached"] else "red"
        made.add_row(each["what"], value, target, Text(mark, colour), each["detail"])
    return made


def save(rows: Iterable[Mapping[str, Any]], order: Iterable[str]) -> None:
    """Put `rows` into both files, in `order` of their names.

    A row of an earlier run that was not measured now stays, with the facts of its own run: a repeated
    single measurement does not throw half an hour of others away.
    """
    path = FOLDER / "results.json"
    known = {each["name"]: each for each in (json.loads(path.read_text("utf-8")) if path.exists() else [])}
    known |= {each["name"]: dict(each) for each in rows}
    kept = [known[name] for name in order if name in known]
    files.write_whole(path, (json.dumps(kept, indent=1) + "\n").encode())
    files.write_whole(FOLDER / "results.md", _markdown(kept).encode())


def _cells(each: Mapping[str, Any]) -> tuple[str, str, str]:
    promise = Promise(name=each["name"], what=each["what"], target=each["target"], unit=each["unit"])
    limit = promise.shown(promise.target)
    return (
        promise.shown(each["value"]),
        limit if isinstance(promise.target, bool) else f"≤ {limit}",
        "yes" if each["reached"] else "no",
    )


def _markdown(rows: list[dict[str, Any]]) -> str:
    lines = [
        "# Speed and memory",
        "",
        "Written by `make bench`. Ratios compare two things measured on the same machine in the same run; "
        "with several runs the figure is the median.",
        "",
        "| what | value | target | reached | detail | runs | measured |",
        "|---|---|---|---|---|---|---|",
    ]
    hosts: dict[str, int] = {}
    for each in rows:
        host = ", ".join(f"{name} {value}" for name, value in each["host"].items())
        number = hosts.setdefault(host, len(hosts) + 1)
        detail = " ".join(each["detail"].split()).replace("|", "\\|")
        cells = (each["what"], *_cells(each), detail, str(each["runs"]), f"[{number}]")
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", *(f"[{number}] {host}  " for host, number in hosts.items())]
    return "\n".join(lines).rstrip() + "\n"
