"""The spec's tables [image] and [updates]: what an image holds, and how machines stay up to date."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, field_validator, model_validator

from notebake.validation import StrictModel

# A name as apt and zypper take it, also `name:arch`, `name=version`, `name/suite`. Neither takes it for an
# option or for the wish to remove a package (`-name`, `name-`).
_PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+:=/~^-]*(?<!-)")
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
# Not part of an image, or notebake's own.
_RESERVED = (
    "/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp", "/var/run", "/var/log", "/opt/notebake",
    "/var/lib/notebake", "/var/lib/cloud", "/root/.ssh", "/root/.cache", "/etc/machine-id",
)  # fmt: skip


def _packages(value: tuple[str, ...]) -> tuple[str, ...]:
    for name in value:
        if not _PACKAGE.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a package")
    return value


def _unique(values: Iterable[str], what: str) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise ValueError(f"{what} {value!r} is listed twice")
        seen.add(value)


class OsPackages(StrictModel):
    """Packages of the distribution, by their names in each family."""

    apt: Annotated[tuple[str, ...], AfterValidator(_packages)] = Field(
        (), description="Names on Debian and Ubuntu."
    )
    zypper: Annotated[tuple[str, ...], AfterValidator(_packages)] = Field(
        (), description="Names on openSUSE."
    )


class Run(StrictModel):
    """A script that runs as root, at the bake or at the first boot alike."""

    script: str = Field(
        min_length=1,
        description="The script (a file). Its first line `#!` names its program, by default sh; a shell gets "
        "`-e`, so that the first command that fails ends it, and set-up with it.",
    )
    when: Literal["before", "after"] = Field(
        "after", description="Before the notebook is installed, or after it."
    )


class File(StrictModel):
    """A file to copy to the machine; root owns it, or the user if it is in the user's home."""

    source: str = Field(min_length=1, description="The file.")
    path: str = Field(description="Where it belongs on the machine: an absolute path.")
    mode: str = Field("0644", pattern="^0?[0-7]{3,4}$", description="Its permissions (octal).")

    @field_validator("path")
    @classmethod
    def _path(cls, value: str) -> str:
        path = PurePosixPath(value)
        if str(path) != value or not path.is_absolute() or ".." in path.parts or len(path.parts) < 2:
            raise ValueError(f"{value!r} is not an absolute path of a file, without `..`, `.` and `//`")
        if not value.isprintable() or max(len(part.encode()) for part in path.parts) > 255:
            raise ValueError(f"{value!r}: no control characters, and at most 255 bytes between two `/`")
        if reserved := [name for name in _RESERVED if path.is_relative_to(name)]:
            raise ValueError(f"{value!r}: nothing below {reserved[0]} is kept in an image")
        return value


class Image(StrictModel):
    """Own software, the same in an image and on a machine with user-data only, and the bake's upgrade."""

    upgrade: bool = Field(
        True,
        strict=True,
        description="A bake upgrades the packages of the base image. Its image is current as long as its "
        "package sources are. Not on Windows.",
    )
    os_packages: Annotated[
        Annotated[tuple[str, ...], AfterValidator(_packages), Tag("list")]
        | Annotated[OsPackages, Tag("table")],
        Discriminator(lambda value: "table" if isinstance(value, dict | OsPackages) else "list"),
    ] = Field(
        (),
        description="Packages of the distribution to install. A list, or a table with the lists apt and "
        "zypper where the names differ.",
    )
    fonts: tuple[Literal["cjk"], ...] = Field(
        (),
        description="Fonts for plots, beside DejaVu: cjk, for Chinese, Japanese and Korean. On Debian and "
        "Ubuntu.",
    )
    run: tuple[Run, ...] = Field((), description="Scripts to run, in this order.")
    files: tuple[File, ...] = Field((), description="Files to copy, before packages are installed.")

    @model_validator(mode="after")
    def _once(self) -> Image:
        _unique((run.script for run in self.run), "run: script")
        paths = [file.path for file in self.files]
        _unique(paths, "files: path")
        for path in paths:
            if inner := [other for other in paths if PurePosixPath(path) in PurePosixPath(other).parents]:
                raise ValueError(f"files: {path!r} cannot be a file and the folder of {inner[0]!r}")
        return self

    def packages_for(self, family: str) -> tuple[str, ...]:
        """Return the packages to install on a machine of `family`, each once, in order."""
        named = self.os_packages
        return tuple(dict.fromkeys(getattr(named, family) if isinstance(named, OsPackages) else named))


class Updates(StrictModel):
    """How a machine stays up to date. Updates never restart the notebook server: kernels would end."""

    at_first_boot: bool = Field(
        False,
        strict=True,
        description="A machine with user-data only upgrades all packages before the notebook is set up.",
    )
    automatic: Literal["security", "all", "none"] = Field(
        "security", description="Updates that the machine installs by itself."
    )
    reboot: str | None = Field(
        None,
        description="Time of the day (HH:MM, the machine's) at which it reboots if an update waits for that; "
        "by default never by itself.",
    )

    @field_validator("reboot")
    @classmethod
    def _time(cls, value: str | None) -> str | None:
        if value is not None and not _TIME.fullmatch(value):
            raise ValueError(f"{value!r} is not a time of the day, as in 04:00")
        return value
