"""The plan: a spec and a target, with defaults filled in, files read and pins resolved.

The later steps are pure functions of it: the same plan renders to the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from notebake import documents, files
from notebake.errors import SpecError
from notebake.plan import lock as locks
from notebake.plan import mirrors, own_base, own_certificate, own_files, windows
from notebake.plan.lock import Lock
from notebake.plan.mirrors import Sources
from notebake.plan.own_files import OwnFile, Script
from notebake.plan.spec import Spec
from notebake.plan.targets import Target


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`notebooks`: (file name, bytes) to preload. `own_certificate`: PEM chain; None means self-signed.

    `target`: with the base image of the spec or the lock. `scripts`, `own_files`: those of [image].
    """

    spec: Spec
    target: Target
    lock: Lock
    sources: Sources
    notebooks: tuple[tuple[str, bytes], ...]
    own_certificate: bytes | None
    scripts: tuple[Script, ...] = ()
    own_files: tuple[OwnFile, ...] = ()


def _notebook(path: Path) -> tuple[str, bytes]:
    try:
        data = files.read(path, limit=documents.MAX_BYTES)
        content = documents.parse_json(data)
    except FileNotFoundError:
        raise SpecError(f"notebook.preload: {path}: no such file") from None
    except (OSError, ValueError) as error:
        raise SpecError(f"notebook.preload: {path}: not a notebook: {error}") from None
    if data.startswith(b"\xef\xbb\xbf"):
        raise SpecError(
            f"notebook.preload: {path}: begins with a byte order mark, and Jupyter does not open it",
            "save it without one, or open and save it in Jupyter on another machine",
        )
    version = content.get("nbformat", 1) if isinstance(content, dict) else None
    # Jupyter opens the formats 1 to 4; 2 and 3 have their cells in worksheets.
    if version not in (1, 2, 3, 4) or not {"cells", "worksheets"} & content.keys():
        raise SpecError(
            f"notebook.preload: {path}: not a notebook: it has no cells, or another nbformat than 1 to 4"
        )
    return path.name, data


def make(spec: Spec, target: Target, folder: Path, *, now: datetime) -> Plan:
    """Make the plan for `spec` on `target`; `folder` is the spec's folder. Reads files. Raises SpecError.

    `now` (timezone-aware) is compared with the dates of an own certificate; it does not change the plan.
    """
    if target.is_windows:
        windows.check_spec(spec)
    return Plan(
        spec=spec,
        target=own_base.apply(spec, target, folder),
        lock=locks.load(spec, target, folder),
        sources=mirrors.resolve(spec.mirrors, folder, target.apt),
        notebooks=tuple(sorted(_notebook(folder / name) for name in spec.notebook.preload)),
        own_certificate=own_certificate.read(spec, folder, now=now),
        scripts=own_files.scripts(spec.image, folder),
        own_files=own_files.files(spec.image, folder),
    )
