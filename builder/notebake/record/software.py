"""What is in an image, as its machine reported it before it was sealed (images/_shared/*/scripts/report.py, .ps1)."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import Field, ValidationError

from notebake.errors import RecordError
from notebake.validation import StrictModel, first_problem


class System(StrictModel):
    """The OS: `id` and `version` as os-release has them (ID, VERSION_ID); `windows` and 10.0.BUILD."""

    id: str
    version: str
    title: str
    packages: str = Field(description="deb, rpm or, on Windows, generic: programs and updates.")


class Software(StrictModel):
    """One machine's software. Packages: name -> version; an OS package of a second architecture is `name:arch`.

    An update of Windows is its KB number -> what it is.
    """

    system: System
    python: str = Field(description="Version of the notebook's Python.")
    os_packages: dict[str, str]
    python_packages: dict[str, str]
    units: dict[str, str] = Field(
        description="systemd unit file or Windows service -> state, those that start something."
    )
    ports: tuple[str, ...] = Field(description="Listening: `tcp ADDRESS PORT`, ephemeral ports left out.")
    users: dict[str, str] = Field(description="name -> `UID SHELL`; on Windows `RID STATE`.")
    setuid: dict[str, str] = Field(
        description="path -> `MODE OWNER:GROUP`; setuid and setgid files; Windows has none."
    )
    firewall: tuple[str, ...] = Field(description="The rules, a line each, without counters.")


def load(path: Path) -> Software:
    """The report in the file `path`. Raises RecordError."""
    try:
        return Software.model_validate(json.loads(path.read_text("utf-8")))
    except ValidationError as error:
        raise RecordError(f"{path}: not a software report: {first_problem(error)}") from None
    except (OSError, ValueError) as error:
        raise RecordError(f"{path}: not a software report: {error}") from None
