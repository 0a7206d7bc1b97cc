"""The difference of two images' software, and which number of the version it raises."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from notebake.record.record import Record
from notebake.record.semver import Level
from notebake.record.software import Software


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What differs in one kind of thing: name -> value, and name -> (old, new)."""

    added: dict[str, str] = field(default_factory=dict)
    removed: dict[str, str] = field(default_factory=dict)
    changed: dict[str, tuple[str, str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    @property
    def gone_or_changed(self) -> bool:
        """Whether something that was there is not as it was."""
        return bool(self.removed or self.changed)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """From one image to another. `kinds`: title -> changes, in the order people read them; sizes in bytes."""

    old: str
    new: str
    kinds: dict[str, Changes]
    bytes_old: int
    bytes_new: int
    level: Level

    @property
    def empty(self) -> bool:
        """Whether both have the same software."""
        return not any(self.kinds.values())

    def to_dict(self) -> dict[str, Any]:
        """The shape of `notebake diff --json`."""
        return {
            "old": self.old,
            "new": self.new,
            "level": self.level,
            "bytes": {"old": self.bytes_old, "new": self.bytes_new},
            **{
                name: {
                    "added": found.added,
                    "removed": found.removed,
                    "changed": {item: list(pair) for item, pair in found.changed.items()},
                }
                for name, found in self.kinds.items()
            },
        }


def _between(old: Mapping[str, str], new: Mapping[str, str]) -> Changes:
    return Changes(
        added={name: new[name] for name in sorted(new.keys() - old.keys())},
        removed={name: old[name] for name in sorted(old.keys() - new.keys())},
        changed={
            name: (old[name], new[name]) for name in sorted(old.keys() & new.keys()) if old[name] != new[name]
        },
    )


def _lines(lines: Iterable[str]) -> dict[str, str]:
    return dict.fromkeys(lines, "")


def _ports(record: Record, software: Software) -> dict[str, str]:
    # The server does not run while the image is made: its port is the spec's.
    return {"notebook": str(record.machine.port), "endpoint": str(record.machine.public_port)} | _lines(
        software.ports
    )


def _minor_rises(pair: tuple[str, str]) -> bool:
    """Whether `1.2.3 -> 1.3.0` or more: the first two numbers of the upstream version differ.

    A distribution's epoch (`1:`) and revision (`-2+deb13u1`) are not upstream's.
    """
    first = [re.findall(r"\d+", re.sub(r"^\d+:", "", text).split("-")[0])[:2] for text in pair]
    return first[0] != first[1]


def _python_minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _level(old: Record, kinds: Mapping[str, Changes], before: Software, after: Software) -> Level:
    if (
        (before.system.id, before.system.version) != (after.system.id, after.system.version)
        or _python_minor(before.python) != _python_minor(after.python)
        or kinds["ports"].gone_or_changed
        or kinds["units"].gone_or_changed
    ):
        return "major"
    packages = (kinds["os_packages"], kinds["python_packages"])
    if any(found.added or any(map(_minor_rises, found.changed.values())) for found in packages):
        return "minor"
    return "patch"


def difference(old: Record, new: Record, *, names: tuple[str, str] = ("old", "new")) -> Difference:
    """What changed from `old` to `new`, called `names`."""
    before, after = old.software, new.software
    kinds = {
        "system": _between(
            {"os": f"{before.system.id} {before.system.version}", "python": before.python},
            {"os": f"{after.system.id} {after.system.version}", "python": after.python},
        ),
        "python_packages": _between(before.python_packages, after.python_packages),
        "os_packages": _between(before.os_packages, after.os_packages),
        "ports": _between(_ports(old, before), _ports(new, after)),
        "units": _between(before.units, after.units),
        "users": _between(before.users, after.users),
        "setuid": _between(before.setuid, after.setuid),
        "firewall": _between(_lines(before.firewall), _lines(after.firewall)),
    }
    return Difference(
        old=names[0],
        new=names[1],
        kinds=kinds,
        bytes_old=old.image.bytes,
        bytes_new=new.image.bytes,
        level=_level(old, kinds, before, after),
    )


def text(found: Difference) -> str:
    """For a terminal: `+ added`, `- removed`, `~ changed`, a kind after the other."""
    lines = [f"{found.old} -> {found.new}: {found.level}{', the same software' if found.empty else ''}"]
    lines.append(f"size: {_size(found)}")
    for name, kind in found.kinds.items():
        if kind:
            lines.append(f"{name.replace('_', ' ')}:")
            lines += [f"  + {' '.join(filter(None, row))}" for row in kind.added.items()]
            lines += [f"  - {' '.join(filter(None, row))}" for row in kind.removed.items()]
            lines += [f"  ~ {item} {pair[0]} -> {pair[1]}" for item, pair in kind.changed.items()]
    return "\n".join(lines)


def _size(found: Difference) -> str:
    by = found.bytes_new - found.bytes_old
    return f"{found.bytes_old / 1e6:.1f} MB -> {found.bytes_new / 1e6:.1f} MB ({by / 1e6:+.1f} MB)"


def markdown(found: Difference) -> str:
    """For release notes and comments on a change: a table a kind."""
    lines = [f"## {found.old} → {found.new} ({found.level})", "", f"Size: {_size(found)}", ""]
    if found.empty:
        lines += ["The software is the same.", ""]
    for name, kind in found.kinds.items():
        if kind:
            lines += [
                f"### {name.replace('_', ' ').capitalize()}",
                "",
                "| what | before | after |",
                "|---|---|---|",
            ]
            rows = [(item, "", value or "yes") for item, value in kind.added.items()]
            rows += [(item, value or "yes", "") for item, value in kind.removed.items()]
            rows += [(item, *pair) for item, pair in kind.changed.items()]
            lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in sorted(rows)]
            lines.append("")
    return "\n".join(lines)


def _cell(value: str) -> str:
    return re.sub(r"([\\|`*_<\[])", r"\\\1", value)
