"""From a launched machine's name, or any address, to what the probe is run against."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from notebake.address import Address
from notebake.errors import SpecError
from notebake.machines import lifecycle
from notebake.machines.machine import Machine
from notebake.probe.subject import Canary, Subject


def _of(machine: Machine) -> dict[str, Any]:
    return {
        "address": machine.address,
        "own_certificate": machine.own_certificate,
        "names": (machine.name, machine.address.host),
        "inside": machine.ssh,
        "canary": Canary(port=machine.canary_inside, address=machine.canary),
    }


def subject(
    where: str,
    *,
    password: str | None,
    token: str | None,
    fingerprint: str | None,
    profile: str | None,
    patience: float,
    ask: Callable[[], str],
) -> Subject:
    """What to probe. `where` is a machine's name or an address; `ask` gets a password when none is known.

    A launched machine brings its fingerprint, its token and the way inside. Raises SpecError.
    """
    machine = next((item for item in lifecycle.machines() if item.name == where), None)
    if machine is None and re.fullmatch(r"[a-z][a-z0-9-]*-\d+", where) and "." not in where:
        known = ", ".join(item.name for item in lifecycle.machines()) or "none"
        raise SpecError(
            f"{where}: no such machine", f"machines: {known}; an address is host:port or https://host/"
        )
    if machine is not None:
        token = token or (None if password else lifecycle.token(machine))
        fingerprint = fingerprint or machine.fingerprint
    if password is None and token is None:
        password = ask()
    settings: dict[str, Any] = _of(machine) if machine is not None else {"address": Address.parse(where)}
    return Subject(
        **settings,
        password=password,
        token=token,
        fingerprint=fingerprint,
        profile=profile or "nbserver",
        patience=patience,
    )
