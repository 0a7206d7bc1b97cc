"""The package manager refreshes without an error, and has a source of security updates."""

from __future__ import annotations

import re

from notebake import process
from notebake.errors import CheckFailed, NotReady
from notebake.probe.context import Context

_REFRESH = 180.0
# By default apt only warns about a source that it cannot reach.
_APT = ("apt-get", "-q", "-o", "APT::Update::Error-Mode=any", "update")
_ZYPPER = ("zypper", "--non-interactive", "refresh")
_ZYPPER_LOCKED = 7


def run(context: Context) -> str:
    """Return the sources.

    Raises CheckFailed with the package manager's output, or if no source has security updates.
    """
    family = context.output("sh", "-c", '. /etc/os-release; echo "$ID" "$ID_LIKE"')
    if "suse" in family:
        _refresh(context, _ZYPPER)
        # Updates come in the release's own repository.
        return "zypper refreshes"
    _refresh(context, _APT)
    listed = context.output("sudo", "-n", "apt-get", "--print-uris", "update")
    suites = list(dict.fromkeys(re.findall(r"/dists/(\S+)/InRelease'", listed)))
    if not any(suite.endswith("-security") for suite in suites):
        raise CheckFailed(
            f"no source of security updates: apt has {', '.join(suites) or 'no source'}",
            "name one in [mirrors] apt_security",
        )
    return f"apt refreshes {', '.join(suites)}"


def _refresh(context: Context, argv: tuple[str, ...]) -> None:
    """Refresh, after waiting for another program that holds the lock. Raises CheckFailed, NotReady."""

    def attempt() -> None:
        done = context.command("sudo", "-n", *argv, seconds=_REFRESH)
        text = done.stdout.decode("utf-8", "replace")
        if "Could not get lock" in text or (argv is _ZYPPER and done.returncode == _ZYPPER_LOCKED):
            raise NotReady(f"{argv[0]}: another program has its lock")
        if done.returncode != 0:
            raise CheckFailed(
                f"{argv[0]}: exit code {done.returncode}\n{process.tail(done.stdout, 3)}",
                "does the machine reach its package sources?",
            )

    context.wait("the package manager refreshes", _REFRESH, attempt)
