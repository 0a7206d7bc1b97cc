"""Render one part of a plan, and read it."""

from __future__ import annotations

import re
from collections.abc import Mapping

import yaml

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


def delivered(user_data: bytes) -> dict[str, str]:
    """Return the files that readable user-data delivers: path -> text."""
    command = yaml.safe_load(user_data)["bootcmd"][0]
    found = dict(zip(command[4::2], command[5::2], strict=True))
    del found["hashes"]
    return found


def carried(items: Mapping[str, bytes]) -> dict[str, str]:
    """Return provisioning files as user-data should deliver them: path -> text. The lock without hashes."""
    found = {path: data.decode() for path, data in items.items()}
    return found | {"requirements.txt": re.sub(" --hash=.*", "", found["requirements.txt"])}
