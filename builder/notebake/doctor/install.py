"""The commands that install what a host lacks, by its own package manager; and their run."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from notebake import process
from notebake.doctor import needs
from notebake.doctor.examine import Finding
from notebake.doctor.needs import Host, manager
from notebake.errors import CommandFailed, MissingTool


@dataclass(frozen=True, kw_only=True)
class Command:
    """A program's argv, and what it reads from its standard input."""

    argv: tuple[str, ...]
    stdin: str | None = None

    def shell(self) -> str:
        """Return the command as a line for a shell."""
        line = shlex.join(self.argv)
        return line if self.stdin is None else f"printf %s {shlex.quote(self.stdin)} | {line} >/dev/null"


def suites(findings: Sequence[Finding]) -> list[str]:
    """Return the suites besides the host's own that the missing packages come from."""
    return sorted({item.suite for item in findings if item.suite and item.package and not item.ok})


def commands(
    host: Host, findings: Sequence[Finding], *, sudo: bool, mirror: Callable[[str], str | None]
) -> list[Command]:
    """Return the commands that install the packages of the findings that are not ok; empty if all are.

    `sudo`: the user is not root. `mirror` returns the URL of the Debian mirror that a suite must be added
    from, or None for a suite that apt knows; it is called only for `suites`.
    """
    programs = manager(host.manager)
    before = ("sudo",) if sudo and programs["sudo"] else ()
    missing = [item for item in findings if item.package and not item.ok]
    made: list[Command] = []
    for suite in suites(findings):
        url = mirror(suite)
        if url is not None:
            # Priority 100: nothing is upgraded to that suite by itself.
            pin = f"Package: *\nPin: release n={suite}\nPin-Priority: 100\n"
            for folder, name, text in (
                ("preferences.d", f"notebake-{suite}", pin),
                ("sources.list.d", f"notebake-{suite}.list", f"deb {url} {suite} main\n"),
            ):
                made.append(Command(argv=(*before, "tee", f"/etc/apt/{folder}/{name}"), stdin=text))
    if missing and "update" in programs:
        made.append(Command(argv=(*before, *programs["update"])))
    for suite in (*suites(findings), ""):
        packages = sorted({str(item.package) for item in missing if (item.suite or "") == suite})
        release = ("--target-release", suite) if suite else ()
        if packages:
            made.append(Command(argv=(*before, *programs["install"], *release, *packages)))
    return made


def debian_mirror(suite: str) -> str | None:
    """Return the mirror that this Debian's own release comes from; None when apt knows `suite` already."""
    policy = process.run(["apt-cache", "policy"], timeout=120).stdout.decode("utf-8", "replace")
    if f"n={suite}," in policy:
        return None
    form = "$(CREATED_BY)|$(LABEL)|$(RELEASE)|$(REPO_URI)"
    listed = process.run(["apt-get", "indextargets", "--format", form], timeout=120).stdout.decode(
        "utf-8", "replace"
    )
    url = choose_mirror(listed, needs.this_release().get("VERSION_CODENAME", ""))
    if url is None:
        raise MissingTool(
            f"apt: no mirror of Debian is configured, from which {suite} could come",
            "add one to /etc/apt/sources.list",
        )
    return url


def choose_mirror(listed: str, codename: str) -> str | None:
    """Return the URL of Debian's mirror in lines of `CREATED_BY|LABEL|RELEASE|URL` by apt-get indextargets.

    Other projects name their suites as Debian does, so the label counts. apt knows it after its first update
    only: without labels it is the release.
    """
    rows = [line.split("|", 3) for line in listed.splitlines() if line.startswith("Packages|")]
    by_label = [url for _, label, _, url in rows if label == "Debian"]
    by_release = [url for _, label, release, url in rows if label in ("", "$(LABEL)") and release == codename]
    return next(iter([*by_label, *by_release]), None)


def run(made: Sequence[Command]) -> None:
    """Run the commands one after the other on the user's terminal.

    Raises MissingTool without the permission to, CommandFailed at the first one that fails.
    """
    if any(command.argv[0] == "sudo" for command in made) and not process.has("sudo"):
        lines = "\n".join(f"  {shlex.join(command.argv[1:])}" for command in made)
        raise MissingTool(
            "installing packages needs root, and sudo is not installed", f"as root run:\n{lines}"
        )
    for command in made:
        code = process.attached(command.argv, stdin=command.stdin)
        if code != 0:
            raise CommandFailed(
                f"installing packages failed with exit code {code}: {command.shell()}",
                "check the network and the package sources, then run `notebake doctor --fix` again",
            )


def is_root() -> bool:
    """Return whether this user may install packages without sudo."""
    return os.geteuid() == 0
