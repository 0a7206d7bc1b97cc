"""The lock of a base image: `locks/TARGET.base.toml`, written by `notebake lock --bases`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

from notebake import documents
from notebake.errors import SpecError
from notebake.files import write_whole
from notebake.plan.lock import FOLDER
from notebake.plan.targets import FILE_NAME, Download, Target
from notebake.validation import StrictModel, first_problem


class _Locked(StrictModel):
    url: str = Field(pattern=r"^https?://[!-~]+$")
    sha256: str
    date: str


def path_for(target: Target, folder: Path) -> Path:
    """Return the path of the base lock of `target` for a spec in `folder`."""
    return folder / FOLDER / f"{target.name}.base.toml"


def load(target: Target, folder: Path) -> Download | None:
    """Return the locked base image of `target`; None if there is no lock. Raises SpecError."""
    path = path_for(target, folder)
    try:
        locked = _Locked.model_validate(documents.load_toml(path))
        return Download(kind="download", **locked.model_dump())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        problem = first_problem(error)
    except (OSError, ValueError) as error:
        problem = str(error)
    raise SpecError(
        f"{path}: not a lock of a base image: {problem}",
        f"run `notebake lock --bases {target.name}` to replace it, or delete it",
    )


def write(base: Download, path: Path) -> None:
    """Write a lock atomically. Raises CommandFailed."""
    lines = [f'{name} = "{getattr(base, name)}"' for name in ("url", "sha256", "date")]
    text = "# Written by `notebake lock --bases`, which verified the signature.\n" + "\n".join(lines) + "\n"
    write_whole(path, text.encode())


def write_shipped(base: Download, target: Target) -> None:
    """Write another dated image into target.toml, atomically. Raises CommandFailed."""
    path = target.folder / FILE_NAME
    document = documents.editable_toml(path.read_bytes())
    table = document["base"]
    assert isinstance(table, dict) and base.signed is not None
    table["url"], table["sha256"] = base.url, base.sha256
    table["signed"]["sums"], table["signed"]["signature"] = base.signed.sums, base.signed.signature
    write_whole(path, document.as_string().encode())
