"""Pin a machine that was launched by other means, from its address and its console log."""

from __future__ import annotations

import http.client
from datetime import UTC, datetime
from pathlib import Path

from notebake.address import Address
from notebake.errors import CheckFailed, NotReady, SpecError
from notebake.files import write_whole
from notebake.machines import console, reserve, wait
from notebake.machines import machine as record
from notebake.machines.machine import Machine
from notebake.ssh import Ssh


def adopt(name: str, address: Address, text: str, *, user: str, key: Path | None) -> Machine:
    """Verify that the notebook at `address` has the certificate that the console's `text` names; save it.

    `user` logs in over ssh with the private key in the file `key`; without one nobody does. Raises SpecError,
    NotReady, CheckFailed; nothing is left then.
    """
    fingerprint = console.fingerprint(text)
    if fingerprint is None:
        raise SpecError(
            "--console: no line `notebake: certificate SHA256 ...`",
            "give the whole console log, as its cloud shows it, after the first boot",
        )
    _verify(address, fingerprint)
    folder = reserve.prepare(name, name).folder
    (folder / record.KEY).unlink()  # the machine does not know it
    machine = Machine(
        name=name,
        platform="adopted",
        target="unknown",
        source="adopted",
        sha256=None,
        process=None,
        address=address,
        notebook_port=address.port,
        canary=None,
        canary_inside=record.CANARY_PORT,
        ssh=Ssh(
            host=address.host,
            port=22,
            user=user,
            key=key.resolve() if key else folder / record.KEY,
            known_hosts=folder / "known_hosts",
        ),
        console=folder / record.CONSOLE,
        fingerprint=fingerprint,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    try:
        write_whole(machine.console, text.encode(), 0o600)  # it may have the token
        return record.save(machine)
    except BaseException:
        reserve.discard(name)
        raise


def _verify(address: Address, fingerprint: str) -> None:
    try:
        served, _ = wait.answer(address)
    except (OSError, http.client.HTTPException) as error:
        raise NotReady(
            f"{address}: does not answer: {error or type(error).__name__}",
            "check the address, and the cloud's firewall",
        ) from None
    if served != fingerprint:
        raise CheckFailed(
            f"{address}: its certificate is {served}, the console names {fingerprint}",
            "is this the console of the machine at this address, and its newest log?",
        )
