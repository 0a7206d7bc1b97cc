"""Change the password of a launched machine."""

from __future__ import annotations

import dataclasses

from notebake import process
from notebake.errors import SpecError
from notebake.machines import inside
from notebake.machines import machine as record
from notebake.machines.machine import Machine
from notebake.machines.reserve import lock

_SECONDS = 300.0  # an emulated machine starts Python slowly


def change(machine: Machine, hashed: str) -> None:
    """Give the machine another password, by its argon2id hash, and restart its server: its kernels end.

    The hash travels through ssh's input only. Raises SpecError, CommandFailed for a machine that is off or
    cannot be reached.
    """
    inside.check(machine)
    if machine.fingerprint is None:
        raise SpecError(
            f"{machine.name}: its certificate is not known", f"read it first: notebake start {machine.name}"
        )
    argv, program = inside.command(machine, "password")
    done = process.run(argv, timeout=_SECONDS, stdin=program + f"{hashed}\n".encode(), check=False)
    if done.returncode:
        raise inside.failed(machine, done.returncode, done.stdout)
    with lock():
        # The token of its first boot is no longer valid.
        record.save(dataclasses.replace(record.load(machine.name), has_password=True))
