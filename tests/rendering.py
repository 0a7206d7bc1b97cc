"""Render one part of a plan."""

from __future__ import annotations

from notebake.files import RenderedFile
from notebake.plan.plan import Plan
from notebake.provision import files
from notebake.render import output
from notebake.render.user_data import UserData


def packer_files(plan: Plan, *, sources: tuple[str, ...] = ("qemu",)) -> tuple[RenderedFile, ...]:
    """Return the Packer template for `sources` with the payload of `plan`."""
    return output.packer_files(plan, files.build(plan), sources=sources)


def user_data(plan: Plan) -> UserData:
    """Return the user-data of `plan` for every cloud."""
    return output.user_data(plan, files.build(plan))
