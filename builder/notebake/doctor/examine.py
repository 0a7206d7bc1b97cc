"""Check which of the programs and files that notebake's jobs need this host has."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from notebake import accelerator, process
from notebake.bake import packer_plugins
from notebake.doctor.needs import Host, Need, all_needs
from notebake.errors import MissingTool, NotebakeError
from notebake.machines import incus_client

_FREE_GIB = 8
# The kernel's default is 128, for all containers together; each one's systemd uses about ten.
_INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
_INOTIFY_FOR_MANY = 1024


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The result of one check.

    `package`: what to install if it is missing. `suite`: the only Debian suite that has it, if the host's
    own does not. `possible`: False for what this kind of host cannot do at all; that is no fault, so `ok`
    is True, and `detail` says what to do instead.
    """

    what: str
    needed_for: str
    ok: bool
    detail: str
    package: str | None = None
    suite: str | None = None
    possible: bool = True


def examine(jobs: Collection[str], host: Host | None, cache: Path) -> list[Finding]:
    """Return all findings, the good ones too. Starts only QEMU, Packer and the Incus client."""
    found = [_need(need, host) for need in all_needs(jobs)]
    if not {"bake", "launch"}.isdisjoint(jobs):
        found.append(_root())
    if "bake" in jobs:
        found.append(_disk(cache))
    emulator = next((need for need in all_needs(jobs) if need.what == accelerator.QEMU), None)
    if emulator is not None and process.has(accelerator.QEMU):
        found.append(_acceleration(emulator, host))
    if not {"bake", "windows"}.isdisjoint(jobs) and process.has("packer"):
        found.append(_packer())
    if "launch" in jobs and process.has("incus"):
        found.append(_incus())
    return found


def _need(need: Need, host: Host | None) -> Finding:
    try:
        there = need.what if need.what.startswith("/") else str(process.which(need.what))
        if Path(there).exists():
            return Finding(what=need.what, needed_for=need.purpose, ok=True, detail=there)
    except MissingTool:
        pass
    if host is None:
        return Finding(what=need.what, needed_for=need.purpose, ok=False, detail="not installed")
    if host.manager in need.not_on:
        detail = f"not on {host.title}: {need.instead}"
        return Finding(what=need.what, needed_for=need.purpose, ok=True, detail=detail, possible=False)
    return Finding(
        what=need.what,
        needed_for=need.purpose,
        ok=False,
        detail="not installed" if need.package(host) else f"not installed, {need.by_hand}",
        package=need.package(host),
        suite=need.suites.get(host.key),
    )


def _root() -> Finding:
    root = os.geteuid() == 0
    ok = root or process.has("sudo")
    detail = "yes" if root else "no: use sudo for these" if ok else "no, and sudo is not installed"
    return Finding(what="root", needed_for="the debian-13 base", ok=ok, detail=detail)


def _disk(cache: Path) -> Finding:
    free = shutil.disk_usage(cache).free / 2**30
    detail = f"{free:.0f} GiB free at {cache}, {_FREE_GIB} needed"
    return Finding(what="disk space", needed_for="bake", ok=free >= _FREE_GIB, detail=detail)


def _acceleration(emulator: Need, host: Host | None) -> Finding:
    """Return how QEMU runs machines here. A QEMU that is too old is replaced if a suite has a newer one."""
    suite = emulator.suites.get(host.key) if host else None
    try:
        chosen = accelerator.choose("auto")
        detail = (
            chosen.name if chosen.why_tcg is None else f"tcg, a boot takes a minute or more: {chosen.why_tcg}"
        )
        return Finding(what="acceleration", needed_for=emulator.purpose, ok=True, detail=detail)
    except NotebakeError as error:
        return Finding(
            what="acceleration", needed_for=emulator.purpose, ok=False, detail=error.message,
            package=emulator.package(host) if host and suite else None, suite=suite,
        )  # fmt: skip


def _incus() -> Finding:
    """Return whether Incus' daemon on this host can run machines. That it cannot is no fault: QEMU can."""
    what, purpose = "Incus' daemon", "launch on Incus"
    try:
        detail = incus_client.describe()
        if int(_INOTIFY.read_text(encoding="ascii")) < _INOTIFY_FOR_MANY:
            setting = f"fs.inotify.max_user_instances={_INOTIFY_FOR_MANY}"
            detail += f"; for more than a dozen: sudo sysctl {setting}"
        return Finding(what=what, needed_for=purpose, ok=True, detail=detail)
    except NotebakeError as error:
        detail = f"{error.message.removeprefix('Incus: ')}: {error.hint}"
        return Finding(what=what, needed_for=purpose, ok=True, detail=detail, possible=False)


def _packer() -> Finding:
    """Return Packer's version and which of its plugins it has; a bake fetches those that are missing."""
    what, purpose = "Packer's plugins", "bake"
    try:
        version = packer_plugins.version()
        words = [f"Packer {packer_plugins.dotted(version)}"]
        if version < packer_plugins.FIRST_WITHOUT_BUILT_IN:
            words.append("plugins built in")
        else:
            words += [_plugin(plugin) for plugin in packer_plugins.required()]
        return Finding(what=what, needed_for=purpose, ok=True, detail=", ".join(words))
    except NotebakeError as error:
        return Finding(what=what, needed_for=purpose, ok=False, detail=error.message)


def _plugin(plugin: packer_plugins.Plugin) -> str:
    found, oldest = packer_plugins.installed(plugin), packer_plugins.dotted(plugin.oldest)
    if found is not None and found >= plugin.oldest:
        return f"{plugin.name} {packer_plugins.dotted(found)}"
    state = "is missing" if found is None else f"{packer_plugins.dotted(found)} is older than {oldest}"
    return f"{plugin.name} {state}: a bake fetches it, or `packer plugins install {plugin.source}`"
