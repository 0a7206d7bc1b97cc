"""The plan: a spec and a target, with defaults filled in, files read and pins resolved.

The later steps are pure functions of it: the same plan renders to the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from notebake.errors import SpecError
from notebake.plan import lock as locks
from notebake.plan import mirrors, own_base, own_certificate, own_files, preload, windows
from notebake.plan.lock import Lock
from notebake.plan.mirrors import Sources
from notebake.plan.own_files import OwnFile, Script
from notebake.plan.spec import Spec
from notebake.plan.targets import Target


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`notebooks`: (path below their folder, bytes) to preload.

    `own_certificate`: PEM chain; None means self-signed.
    `target`: with the base image of the spec or the lock.
    `scripts`, `own_files`: those of [image].
    """

    spec: Spec
    target: Target
    lock: Lock
    sources: Sources
    notebooks: tuple[tuple[str, bytes], ...]
    own_certificate: bytes | None
    scripts: tuple[Script, ...] = ()
    own_files: tuple[OwnFile, ...] = ()

    @property
    def admin(self) -> str:
        """The user that logs in over ssh and may use sudo. Targets are named after their distribution."""
        return self.spec.admin.name or self.target.name.split("-")[0]


def make(spec: Spec, target: Target, folder: Path, *, now: datetime) -> Plan:
    """Make the plan for `spec` on `target`; `folder` is the spec's folder. Reads files. Raises SpecError.

    `now` (timezone-aware) is compared with the dates of an own certificate; it does not change the plan.
    """
    if target.is_windows:
        windows.check_spec(spec)
    made = Plan(
        spec=spec,
        target=own_base.apply(spec, target, folder),
        lock=locks.load(spec, target, folder),
        sources=mirrors.resolve(spec.mirrors, folder, target.apt),
        notebooks=preload.read(spec.notebook.preload, folder),
        own_certificate=own_certificate.read(spec, folder, now=now),
        scripts=own_files.scripts(spec.image, folder),
        own_files=own_files.files(spec.image, folder),
    )
    if spec.user == made.admin:
        raise SpecError(
            f"user {spec.user!r}: is the administrator of {target.name}, and code in a notebook would be too",
            "use another user, or another [admin] name",
        )
    return made
