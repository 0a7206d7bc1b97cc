"""The installed Packer: its version, and the plugins that it needs from outside.

Packer 1.6 has every plugin built in and knows no others; 1.7 brought `packer init`; from 1.10 on none is
built in.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from notebake import paths, process, scratch
from notebake.errors import CommandFailed, MissingTool, SpecError
from notebake.files import RenderedFile, sha256, write_folder

Version = tuple[int, ...]

OLDEST: Version = (1, 6, 6)
FIRST_WITH_INIT: Version = (1, 7, 0)
FIRST_WITHOUT_BUILT_IN: Version = (1, 10, 0)

# Where Packer keeps its plugins, and what lets it ask GitHub more often.
_PASSED = ("PACKER_PLUGIN_PATH", "PACKER_CONFIG_DIR", "XDG_CONFIG_HOME", "PACKER_GITHUB_API_TOKEN")
_INIT_SECONDS = 600
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """A plugin that a template requires: `source` as in github.com/hashicorp/qemu, its minimum version."""

    source: str
    oldest: Version

    @property
    def name(self) -> str:
        """Return the last part of `source`."""
        return self.source.rsplit("/", 1)[1]


def dotted(version: Version) -> str:
    """Return a version as people write it."""
    return ".".join(map(str, version))


def settings(folder: Path | None = None) -> dict[str, str]:
    """Return the environment that Packer is run with; `folder` of plugins, None for Packer's own."""
    made = {name: os.environ[name] for name in _PASSED if name in os.environ}
    if folder is not None:
        made["PACKER_PLUGIN_PATH"] = str(folder)
    return made | {"CHECKPOINT_DISABLE": "1", "PACKER_NO_COLOR": "1"}


def parse_version(text: str) -> Version:
    """Return the version in what `packer version` prints; raises CommandFailed."""
    found = re.search(r"^Packer v(\d+)\.(\d+)\.(\d+)", text, re.MULTILINE)
    if found is None:
        raise CommandFailed("packer version: no version number in its output", "is that HashiCorp's Packer?")
    return tuple(map(int, found.groups()))


def version() -> Version:
    """Return the version of the installed Packer.

    Raises MissingTool if it is not installed or too old, CommandFailed if the program is not Packer.
    """
    printed = process.run(["packer", "version"], timeout=60, env=settings()).stdout
    found = parse_version(printed.decode("utf-8", "replace"))
    if found < OLDEST:
        raise MissingTool(
            f"packer {dotted(found)}: too old, notebake needs {dotted(OLDEST)} or newer",
            "see https://developer.hashicorp.com/packer/install",
        )
    return found


def required(files: Iterable[RenderedFile] | None = None) -> tuple[Plugin, ...]:
    """Return the plugins that a rendered template requires; without one, those of every bake."""
    if files is None:
        path = paths.data_folder("images") / "_shared/plugins/qemu.pkr.hcl"
        files = [RenderedFile(path="plugins/qemu.pkr.hcl", data=path.read_bytes())]
    found = []
    for item in files:
        if item.path.startswith("plugins/"):
            text = item.data.decode()
            source = re.findall(r'^ +source += "([\w./-]+)"$', text, re.MULTILINE)
            oldest = re.findall(r'^ +version = ">= (\d+)\.(\d+)\.(\d+)"$', text, re.MULTILINE)
            assert len(source) == len(oldest) == 1, item.path
            found.append(Plugin(source=source[0], oldest=tuple(map(int, oldest[0]))))
    return tuple(found)


def prepare(files: Iterable[RenderedFile], folder: Path | None) -> None:
    """Make sure that Packer has the plugins of a rendered template.

    A `folder` of plugins is only checked: nothing is fetched. Without one, a Packer with no built-in plugins
    fetches those that it does not have, for this user. Raises MissingTool, SpecError or CommandFailed.
    """
    files, found = tuple(files), version()
    if folder is not None:
        if found < FIRST_WITH_INIT:
            raise SpecError(
                f"--plugins: Packer {dotted(found)} has its plugins built in and uses no others",
                "leave out --plugins and PACKER_PLUGIN_PATH, or install Packer 1.7 or newer",
            )
        for plugin in required(files):
            check(folder, plugin)
    elif found >= FIRST_WITHOUT_BUILT_IN:
        _init(files)


def _init(files: tuple[RenderedFile, ...]) -> None:
    with scratch.folder(scratch.short(), "nb") as folder:
        write_folder(folder, [item for item in files if item.path.startswith("plugins/")])
        try:
            process.run(["packer", "init", folder / "plugins"], timeout=_INIT_SECONDS, env=settings())
        except CommandFailed as error:
            names = " ".join(plugin.name for plugin in required(files))
            raise CommandFailed(
                f"packer init: the plugins could not be fetched: {names}\n{error.message}",
                "check the network; without one, copy the plugins into a folder and name it with --plugins "
                "(see `packer plugins install --help`)",
            ) from None


def check(folder: Path, plugin: Plugin) -> None:
    """Raise SpecError if `folder` has no complete `plugin` for this host that is new enough."""
    system = f"{sys.platform}_{_ARCHITECTURES.get(platform.machine(), platform.machine())}"
    hint = (
        f"packer plugins install --path FILE {plugin.source} writes a plugin with its checksum "
        "into that folder"
    )
    problems = []
    for path in sorted((folder / plugin.source).glob(f"packer-plugin-{plugin.name}_v*_{system}")):
        problem = _problem(path, plugin)
        if problem is None:
            return
        problems.append(problem)
    missing = (
        f"no plugin {plugin.name} {dotted(plugin.oldest)} or newer for {system} in {folder / plugin.source}"
    )
    raise SpecError(f"--plugins: {problems[-1] if problems else missing}", hint)


def _problem(path: Path, plugin: Plugin) -> str | None:
    found = re.search(r"_v(\d+)\.(\d+)\.(\d+)_x", path.name)
    if found is None:
        return f"{path}: its name has no release's version"
    if tuple(map(int, found.groups())) < plugin.oldest:
        return f"{path}: too old, {dotted(plugin.oldest)} or newer is needed"
    sums = path.with_name(f"{path.name}_SHA256SUM")
    if not sums.is_file():
        return f"{sums}: missing; Packer uses no plugin without its checksum"
    # The digest, alone or as sha256sum prints it.
    expected = (sums.read_text("utf-8", "replace").split() or [""])[0].lower()
    actual = sha256(path)
    return None if actual == expected else f"{path}: SHA-256 is {actual}, but its _SHA256SUM says {expected}"


def installed(plugin: Plugin) -> Version | None:
    """Return the newest version of `plugin` that Packer has for this user, or None. It may be too old.

    For a Packer without built-in plugins only.
    """
    printed = process.run(["packer", "plugins", "installed"], timeout=60, env=settings()).stdout
    name = re.escape(f"{plugin.source}/packer-plugin-{plugin.name}_v")
    found = re.findall(rf"{name}(\d+)\.(\d+)\.(\d+)_x", printed.decode("utf-8", "replace"))
    return max((tuple(map(int, numbers)) for numbers in found), default=None)
