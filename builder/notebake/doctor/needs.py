"""What a host needs, from needs.toml, and which of the hosts in it this one is."""

from __future__ import annotations

import platform
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from notebake import documents

JOBS = ("bake", "launch", "probe", "windows", "lint", "ci", "test")


@dataclass(frozen=True, kw_only=True)
class Host:
    """A system that notebake knows: `key` and `manager` are the names of its packages' columns."""

    key: str
    title: str
    manager: str


@dataclass(frozen=True, kw_only=True)
class Need:
    """A program, or a file by its absolute path, and where a host gets it.

    `instead`: what to do on a host with a package manager of `not_on`, which cannot serve the purpose at all.
    """

    what: str
    purpose: str
    jobs: tuple[str, ...]
    packages: dict[str, str]
    suites: dict[str, str]
    by_hand: str | None
    not_on: tuple[str, ...]
    instead: str | None

    def package(self, host: Host) -> str | None:
        """Return the package that contains it on `host`, or None."""
        return self.packages.get(host.key) or self.packages.get(host.manager)


@cache
def _data() -> dict[str, Any]:
    return documents.load_toml(Path(__file__).with_name("needs.toml"))


def all_needs(jobs: Collection[str] = JOBS) -> tuple[Need, ...]:
    """Return what `jobs` need, in the order of the file."""
    return tuple(
        Need(
            what=need.get("program") or need["file"],
            purpose=purpose["name"],
            jobs=tuple(purpose["jobs"]),
            packages=need.get("package", {}),
            suites=need.get("suite", {}),
            by_hand=need.get("by_hand"),
            not_on=tuple(purpose.get("not_on", ())),
            instead=purpose.get("instead"),
        )
        for purpose in _data()["purpose"]
        if not set(jobs).isdisjoint(purpose["jobs"])
        for need in purpose["need"]
    )


def manager(name: str) -> dict[str, Any]:
    """Return the command lines of a package manager: `install`, where it has one `update`, and `sudo`."""
    found: dict[str, Any] = _data()["manager"][name]
    return found


def known_hosts() -> str:
    """Return the known hosts for a message: `Debian 12, Debian 13, ...`."""
    return ", ".join(row["title"] for row in _data()["host"])


def identify(release: Mapping[str, str]) -> Host | None:
    """Return the host whose os-release has these values; None for one that notebake does not know.

    A derivative (ID_LIKE) is unknown: its packages may have other names.
    """
    found, version = release.get("ID"), release.get("VERSION_ID")
    for row in _data()["host"]:
        if row["id"] == found and row.get("version", version) == version:
            key = f"{found}-{version}" if "version" in row else row["id"]
            return Host(key=key, title=row["title"], manager=row["manager"])
    return None


def this_release() -> dict[str, str]:
    """Return the values in this host's os-release; an ID on macOS, which has none; empty without a file."""
    if sys.platform == "darwin":
        return {"ID": "macos", "PRETTY_NAME": "macOS"}
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}
