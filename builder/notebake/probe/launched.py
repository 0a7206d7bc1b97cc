"""Make the subject of a probe from a launched machine or any address; log in to a launched machine."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import tenacity

from notebake.address import Address
from notebake.errors import NotebakeError, NotReady, SpecError
from notebake.machines import lifecycle, platforms
from notebake.machines.machine import Machine
from notebake.probe.session import Session
from notebake.probe.subject import Canary, Subject, plain_fingerprint


def _settings(machine: Machine) -> dict[str, Any]:
    canary = platforms.canary(machine)
    return {
        "address": machine.address,
        "own_certificate": machine.own_certificate,
        # The host name of one that was launched by other means is not known.
        "names": () if machine.platform == "adopted" else (machine.name, machine.address.host),
        "metadata": machine.metadata,
        "sudo": machine.sudo,
        "offline": machine.offline,
        "image": machine.sha256,
        "inside": machine.ssh if machine.ssh.key.exists() else None,
        "canary": canary and Canary(port=machine.canary_inside, address=canary),
    }


def wait_for_password(machine: Machine, password: str, seconds: float) -> None:
    """Log in with `password` until the machine accepts it, for at most `seconds`. Raises NotReady."""

    def log_in() -> bool:
        session = Session(address=machine.address, fingerprint=plain_fingerprint(machine.fingerprint or ""))
        return session.log_in(password, seconds=seconds).status == 302

    until = tenacity.Retrying(
        # Failed log-ins make the next one wait.
        wait=tenacity.wait_fixed(2),
        stop=tenacity.stop_after_delay(seconds),
        retry=tenacity.retry_if_not_result(bool) | tenacity.retry_if_exception_type(NotebakeError),
    )
    try:
        until(log_in)
    except tenacity.RetryError as error:
        outcome = error.last_attempt
        reason = outcome.exception() if outcome.failed else "it still refuses the new password"
        raise NotReady(
            f"{machine.name}: the password was changed, but no log-in was possible: {reason}",
            f"look at its log: notebake logs {machine.name}",
        ) from None


def subject(
    where: str,
    *,
    password: str | None,
    token: str | None,
    fingerprint: str | None,
    profile: str | None,
    timeout_scale: float,
    ask: Callable[[], str],
    image: str | None = None,
) -> Subject:
    """Return the subject for `where`, a machine's name or an address. Raises SpecError.

    `image`: SHA-256 of the image that, as the user says, the machine at an address was made from. For a
    launched machine, image, fingerprint, token and ssh access are known. `ask` returns the password; it is
    called if neither password nor token is known.
    """
    machine = next((machine for machine in lifecycle.machines() if machine.name == where), None)
    if machine is None and re.fullmatch(r"[a-z][a-z0-9-]*-\d+", where) and "." not in where:
        names = ", ".join(machine.name for machine in lifecycle.machines()) or "none"
        raise SpecError(
            f"{where}: no such machine", f"machines: {names}; an address is host:port or https://host/"
        )
    if machine is not None:
        token = token or (None if password else lifecycle.token(machine))
        fingerprint = fingerprint or machine.fingerprint
    if password is None and token is None:
        password = ask()
    if machine is not None and image is not None:
        raise SpecError(
            f"{where}: its image is known", "--image is for an address, such as a machine in a cloud"
        )
    settings: dict[str, Any] = (
        _settings(machine) if machine is not None else {"address": Address.parse(where), "image": image}
    )
    return Subject(
        **settings,
        password=password,
        token=token,
        fingerprint=fingerprint,
        profile=profile or "nbserver",
        timeout_scale=timeout_scale,
    )
