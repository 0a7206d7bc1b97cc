"""The host's own apt mirror, for `mirrors = "host"`: its distribution's, never a vendor's repository."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class HostApt:
    """What the host uses: `archive` and `security` are URLs; None if a machine can use none.

    `note`: a message on why there is no archive.
    """

    archive: str | None = None
    security: str | None = None
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """One package source; `keyring` is its Signed-By, or empty."""

    uri: str
    suite: str
    components: tuple[str, ...]
    keyring: str


def read(distribution: str, root: Path = Path("/")) -> HostApt:
    """Return the mirror of `distribution` (an ID of os-release) that the host at `root` uses."""
    release = dict(re.findall(r'^(ID|VERSION_CODENAME)="?([\w.-]+)"?$', _text(root / "etc/os-release"), re.M))
    if release.get("ID") != distribution:
        return HostApt(note=f"the host's apt mirror is not used: it is not a mirror of {distribution}")
    suites = {release.get("VERSION_CODENAME", distribution), "stable", "oldstable", "testing"}
    entries = [
        entry
        for entry in _entries(root / "etc/apt")
        if "main" in entry.components and (not entry.keyring or f"{distribution}-archive" in entry.keyring)
    ]

    def having(suffix: str) -> list[str]:
        return [entry.uri for entry in entries if entry.suite in {f"{suite}{suffix}" for suite in suites}]

    # A vendor's repository may well be `bookworm main`. It has no updates suite.
    updated = having("-updates")
    archives = [uri for uri in having("") if uri in updated] or [
        uri for uri in having("") if uri.rstrip("/").endswith(f"/{distribution}")
    ]
    archive = _usable(archives, root)
    if archive is None:
        named = ", ".join(dict.fromkeys(archives)) or "no mirror of its own release"
        return HostApt(
            note=f"the host's apt names {named}: nothing that a machine can reach by http or https"
        )
    return HostApt(archive=archive, security=_usable(having("-security"), root))


def _usable(uris: list[str], root: Path) -> str | None:
    """Return the first URL among `uris` and the mirrors that a `mirror+file:` names."""
    for uri in uris:
        names = [uri]
        if uri.startswith("mirror+file:"):
            path = "/" + uri.removeprefix("mirror+file:").lstrip("/")
            names = [line.split()[0] for line in _text(root / path[1:]).splitlines() if line.strip()]
        for name in names:
            if re.fullmatch(r"https?://[!-~]+", name):
                return name
    return None


def _entries(folder: Path) -> Iterator[_Entry]:
    """Yield the sources of binary packages, in the order that apt reads them."""
    for path in (folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))):
        text = "".join(line for line in _text(path).splitlines(keepends=True) if not line.startswith("#"))
        if path.suffix == ".sources":
            for stanza in re.split(r"\n[ \t]*\n", text):
                yield from _stanza(stanza)
        elif path.suffix == ".list":
            for line in text.splitlines():
                found = re.match(r"\s*deb\s+(?:\[([^]]*)\]\s*)?(\S+)\s+(\S+)([^#]*)", line)
                if found:
                    keyring = re.search(r"signed-by=(\S+)", found[1] or "", re.I)
                    yield _Entry(
                        uri=found[2],
                        suite=found[3],
                        components=tuple(found[4].split()),
                        keyring=keyring[1] if keyring else "",
                    )


def _stanza(text: str) -> Iterator[_Entry]:
    # A field's further lines begin with a space.
    fields = {
        name.lower(): value.split()
        for name, value in re.findall(r"^([A-Za-z-]+):(.*(?:\n[ \t].*)*)", text, re.M)
    }
    if "deb" not in fields.get("types", []) or fields.get("enabled") in (["no"], ["false"], ["0"]):
        return
    for uri in fields.get("uris", []):
        for suite in fields.get("suites", []):
            yield _Entry(
                uri=uri,
                suite=suite,
                components=tuple(fields.get("components", [])),
                keyring=" ".join(fields.get("signed-by", [])),
            )


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
