"""Machines that were launched by other means: notebake watches them and controls nothing."""

from __future__ import annotations

from collections.abc import Iterable

from notebake.errors import SpecError
from notebake.machines import ports
from notebake.machines.machine import Machine, State


def look(machine: Machine) -> bool:
    """Return whether something listens at its address."""
    return ports.answers(machine.address)


def states(machines: Iterable[Machine]) -> dict[str, State]:
    """Return the state of each by name: `running`, or `unreachable`."""
    return {each.name: "running" if look(each) else "unreachable" for each in machines}


def boot(machine: Machine) -> Machine:
    """Raise SpecError."""
    raise _refused(machine)


def shutdown(machine: Machine, seconds: float) -> bool:
    """Raise SpecError."""
    raise _refused(machine)


def end(machine: Machine) -> None:
    """Raise SpecError."""
    raise _refused(machine)


def _refused(machine: Machine) -> SpecError:
    return SpecError(
        f"{machine.name}: was launched by other means",
        f"stop or start it there; notebake delete {machine.name} only forgets it",
    )
