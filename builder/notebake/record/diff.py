"""Compare the software of two images and derive the version bump."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from notebake import screen
from notebake.record.record import Record
from notebake.record.semver import Level
from notebake.record.software import Software

# In display order.
CATEGORIES = (
    "system", "python_packages", "os_packages", "ports", "units", "users", "setuid", "firewall",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Changes:
    """Changes of one category. `added`, `removed`: name -> value; `changed`: name -> (old, new)."""

    added: dict[str, str] = field(default_factory=dict)
    removed: dict[str, str] = field(default_factory=dict)
    changed: dict[str, tuple[str, str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    @property
    def removed_or_changed(self) -> bool:
        """Whether anything was removed or changed."""
        return bool(self.removed or self.changed)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The diff between two images. `categories`: name -> changes, in display order. Sizes in bytes."""

    old: str
    new: str
    categories: dict[str, Changes]
    bytes_old: int
    bytes_new: int
    level: Level

    @property
    def empty(self) -> bool:
        """Whether both images have the same software."""
        return not any(self.categories.values())

    def to_dict(self) -> dict[str, Any]:
        """Return the object that `notebake diff --json` prints."""
        return {
            "old": self.old,
            "new": self.new,
            "level": self.level,
            "bytes": {"old": self.bytes_old, "new": self.bytes_new},
            **{
                category: {
                    "added": changes.added,
                    "removed": changes.removed,
                    "changed": {name: list(values) for name, values in changes.changed.items()},
                }
                for category, changes in self.categories.items()
            },
        }


def _changes(old: Mapping[str, str], new: Mapping[str, str]) -> Changes:
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
    # The server does not run during the bake, so its ports come from the spec.
    return {"notebook": str(record.machine.port), "endpoint": str(record.machine.public_port)} | _lines(
        software.ports
    )


def _minor_differs(versions: tuple[str, str]) -> bool:
    """Return whether the first two numbers of the upstream version differ, as in `1.2.3 -> 1.3.0`.

    The distribution's epoch (`1:`) and revision (`-2+deb13u1`) are not part of the upstream version.
    """
    old, new = (re.findall(r"\d+", re.sub(r"^\d+:", "", version).split("-")[0])[:2] for version in versions)
    return old != new


def _python_minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _level(categories: Mapping[str, Changes], old: Software, new: Software) -> Level:
    if (
        (old.system.id, old.system.version) != (new.system.id, new.system.version)
        or _python_minor(old.python) != _python_minor(new.python)
        or categories["ports"].removed_or_changed
        or categories["units"].removed_or_changed
    ):
        return "major"
    packages = (categories["os_packages"], categories["python_packages"])
    if any(changes.added or any(map(_minor_differs, changes.changed.values())) for changes in packages):
        return "minor"
    return "patch"


def contents(record: Record) -> dict[str, Mapping[str, str]]:
    """Return what is compared: category -> name -> value, with the keys CATEGORIES."""
    software = record.software
    values = (
        {"os": f"{software.system.id} {software.system.version}", "python": software.python},
        software.python_packages,
        software.os_packages,
        _ports(record, software),
        software.units,
        software.users,
        software.setuid,
        _lines(software.firewall),
    )
    return dict(zip(CATEGORIES, values, strict=True))


def difference(old: Record, new: Record, *, names: tuple[str, str] = ("old", "new")) -> Difference:
    """Return the difference from `old` to `new`; `names` are their display names."""
    before, after = contents(old), contents(new)
    categories = {category: _changes(before[category], after[category]) for category in before}
    return Difference(
        old=names[0],
        new=names[1],
        categories=categories,
        bytes_old=old.image.bytes,
        bytes_new=new.image.bytes,
        level=_level(categories, old.software, new.software),
    )


def text(diff: Difference) -> str:
    """Return the difference for a terminal: `+ added`, `- removed`, `~ changed`, by category."""
    lines = [f"{diff.old} -> {diff.new}: {diff.level}{', the same software' if diff.empty else ''}"]
    lines.append(f"size: {_size(diff)}")
    for category, changes in diff.categories.items():
        if changes:
            lines.append(f"{category.replace('_', ' ')}:")
            lines += [f"  + {' '.join(filter(None, row))}" for row in changes.added.items()]
            lines += [f"  - {' '.join(filter(None, row))}" for row in changes.removed.items()]
            lines += [f"  ~ {name} {old} -> {new}" for name, (old, new) in changes.changed.items()]
    return "\n".join(lines)


def _size(diff: Difference) -> str:
    growth = diff.bytes_new - diff.bytes_old
    return f"{diff.bytes_old / 1e6:.1f} MB -> {diff.bytes_new / 1e6:.1f} MB ({growth / 1e6:+.1f} MB)"


def markdown(diff: Difference) -> str:
    """Return the difference as Markdown, for release notes and review comments: one table per category."""
    lines = [f"## {_plain(diff.old)} -> {_plain(diff.new)} ({diff.level})", "", f"Size: {_size(diff)}", ""]
    if diff.empty:
        lines += ["The software is the same.", ""]
    for category, changes in diff.categories.items():
        if changes:
            lines += [
                f"### {category.replace('_', ' ').capitalize()}",
                "",
                "| name | before | after |",
                "|---|---|---|",
            ]
            rows = [(name, "", value or "yes") for name, value in changes.added.items()]
            rows += [(name, value or "yes", "") for name, value in changes.removed.items()]
            rows += [(name, *values) for name, values in changes.changed.items()]
            lines += ["| " + " | ".join(_plain(cell) for cell in row) + " |" for row in sorted(rows)]
            lines.append("")
    return "\n".join(lines)


def _plain(value: str) -> str:
    """Return `value` for Markdown, in one line; as code if it could be a link, a mention or HTML."""
    text = " ".join(screen.safe(value).split())
    # A table's cell ends at each `|` but `\\|`, also in code.
    cell = re.sub(r"\\+\|", lambda found: f"{found[0][:-1]} |", text).replace("|", "\\|")
    if re.fullmatch(r"[A-Za-z0-9 ./:+,()=|-]*", text) and not re.search(r"://|www\.", text, re.I):
        return cell
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    return f"{fence} {cell} {fence}" if "`" in text else f"{fence}{cell}{fence}"
