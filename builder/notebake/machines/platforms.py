"""The same question to each platform: does a machine run, where is it, how is it ended."""

from __future__ import annotations

from collections.abc import Iterable

from notebake.address import Address
from notebake.errors import CommandFailed
from notebake.machines import aws, incus, incus_instance, qemu
from notebake.machines.machine import Machine, State

BY_NAME = {"qemu": qemu, "incus": incus, "aws": aws}


def look(machine: Machine) -> bool:
    """Bring the machine's console log up to date; return whether it runs. Raises CommandFailed."""
    if machine.cloud is not None:
        return aws.look(machine)
    return machine.alive() if machine.instance is None else incus_instance.look(machine)


def poll_seconds(machine: Machine) -> float:
    """Return how long to wait between two looks (seconds): a cloud limits the rate of requests."""
    return 0.5 if machine.cloud is None else aws.POLL_SECONDS


def states(machines: Iterable[Machine]) -> dict[str, State]:
    """Return each machine's state by name.

    `failed`: its notebook did not answer after the last boot; `missing`: its instance was deleted by others;
    `unreachable`: its daemon, cluster member or cloud does not answer.
    """
    machines = list(machines)
    found: dict[str, State] = incus_instance.states(each for each in machines if each.instance is not None)
    found |= aws.states(each for each in machines if each.cloud is not None)
    for each in machines:
        if each.instance is None and each.cloud is None:
            found[each.name] = "running" if each.alive() else "stopped"
        if each.failed and found[each.name] in ("running", "stopped"):
            found[each.name] = "failed"
    return found


def canary(machine: Machine) -> Address | None:
    """Return where a listener on `canary_inside` would be seen, or None where this host cannot see it."""
    if machine.instance is None:
        return machine.canary
    host = incus_instance.address(machine)
    return None if host is None else Address(host=host, port=machine.canary_inside)


def end(machine: Machine) -> None:
    """Power the machine off and remove what only a running one has on its host. Raises CommandFailed."""
    if machine.instance is not None:
        incus.end(machine)
        return
    if machine.cloud is not None:
        aws.end(machine)
        return
    if machine.process is not None and not machine.process.kill():
        raise CommandFailed(
            f"{machine.name}: process {machine.process.pid} cannot be ended",
            "run this as the user who launched it",
        )
    qemu.remove(machine)


def delete(machine: Machine) -> None:
    """Power the machine off and delete what is not in its folder. Raises CommandFailed."""
    if machine.instance is not None:
        incus.delete(machine)
    elif machine.cloud is not None:
        aws.delete(machine)
    else:
        end(machine)
