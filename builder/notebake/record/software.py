"""The software inventory of an image, reported by the machine before it is sealed.

images/_shared/linux/scripts/report.py and images/_shared/windows/scripts/report.ps1 write it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from notebake import files, validation
from notebake.documents import MAX_BYTES, DocumentError
from notebake.errors import RecordError
from notebake.validation import Size, StrictModel


class System(StrictModel):
    """The OS. `id`, `version`: ID and VERSION_ID of os-release; on Windows `windows` and 10.0.BUILD."""

    id: str
    version: str
    title: str
    packages: Literal["deb", "rpm", "generic"] = Field(
        description="deb, rpm, or generic on Windows (programs and updates)."
    )


class Origin(StrictModel):
    """What a scanner needs besides name and version of an OS package.

    `source`: the source package's name (deb) or file name (rpm). `source_version`: deb only.
    """

    architecture: str
    source: str
    source_version: str


class Software(StrictModel):
    """The software inventory of one machine.

    Packages: name -> version; an OS package of a second architecture is `name:arch`. A Windows update: KB
    number -> description.
    """

    system: System
    python: str = Field(description="Version of the notebook's Python.")
    os_packages: dict[str, str]
    upgraded: dict[str, str] = Field(
        default_factory=dict,
        description="Packages that the bake upgraded: name -> `OLD -> NEW`; a new one: name -> NEW.",
    )
    newest_package: str | None = Field(
        None, description="Day on which the newest OS package was built (YYYY-MM-DD)."
    )
    os_origins: dict[str, Origin] = Field({}, description="OS package -> its origin; empty on Windows.")
    os_sizes: dict[str, Size] = Field(
        {}, description="OS package -> installed size in bytes, where the package manager knows it."
    )
    python_packages: dict[str, str]
    python_sizes: dict[str, Size] = Field(
        {}, description="Python package -> size of its files in bytes, with bytecode."
    )
    units: dict[str, str] = Field(
        description="systemd unit or Windows service -> state; only those that start a program."
    )
    ports: tuple[str, ...] = Field(
        description="Listening ports as `tcp ADDRESS PORT`, without ephemeral ports."
    )
    users: dict[str, str] = Field(description="name -> `UID SHELL`; on Windows `RID STATE`.")
    setuid: dict[str, str] = Field(
        description="setuid and setgid files: path -> `MODE OWNER:GROUP`; empty on Windows."
    )
    firewall: tuple[str, ...] = Field(description="Firewall rules, one per line, without counters.")


def load(path: Path) -> Software:
    """Read the software inventory in the file `path`. Raises RecordError."""
    try:
        return validation.parse(Software, files.read(path, limit=MAX_BYTES))
    except (OSError, DocumentError) as error:
        raise RecordError(f"{path}: not a software inventory: {error}") from None
