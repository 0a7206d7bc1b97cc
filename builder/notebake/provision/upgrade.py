"""The script that upgrades all packages: at a bake, and at the first boot if the spec says so."""

from __future__ import annotations

from notebake.files import RenderedFile
from notebake.plan.plan import Plan
from notebake.provision import linux
from notebake.provision.files import Payload, without_comments

PATH = "upgrade.sh"


def script() -> RenderedFile:
    """Return the script."""
    return RenderedFile(path=PATH, data=without_comments(linux.upgrade(), python=False).encode())


def for_bake(plan: Plan, payload: Payload) -> tuple[RenderedFile, ...]:
    """Return the provisioning files for a bake: with the script if it upgrades, else without."""
    files = tuple(file for file in payload.files if file.path != PATH)
    return (*files, script()) if plan.spec.image.upgrade else files
