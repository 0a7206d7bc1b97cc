"""Render one part of a plan, and read it."""

from __future__ import annotations

import tempfile
from pathlib import Path

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
    """Return the files that readable user-data delivers, with the lock's hashes: path -> text."""
    import environment

    command = yaml.safe_load(user_data)["bootcmd"][0]
    found = dict(zip(command[4::2], command[5::2], strict=True))
    with tempfile.TemporaryDirectory() as folder:
        lock = Path(folder, "requirements.txt")
        packed = found.pop("hashes")
        lock.write_text(found["requirements.txt"])
        for _ in range(2):  # a power cut may end the program before it removes the hashes
            lock.with_name("hashes").write_text(packed)
            environment.expand(lock)
            assert not lock.with_name("hashes").exists()
        return {**found, "requirements.txt": lock.read_text()}
