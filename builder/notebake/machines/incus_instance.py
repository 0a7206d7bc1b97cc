"""A machine's instance in Incus: find it, ask for its state, read its console.

An instance is ours only if its `user.notebake` is the key in the machine's record; no other is touched.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from filelock import FileLock

from notebake.address import Address
from notebake.errors import CommandFailed, NotebakeError
from notebake.machines import console, incus_client, ports
from notebake.machines.machine import Instance, Machine, State

_REBOOT_SECONDS = 3.0  # for so long a machine that reboots may be seen as stopped
_STATES: dict[str, State] = {"Stopped": "stopped", "Error": "unreachable"}


def of(machine: Machine) -> Instance:
    """Return where the machine's instance is."""
    assert machine.instance is not None
    return machine.instance


def at(machine: Machine) -> str:
    """Return the client's name of the instance."""
    return f"{of(machine).remote}:{machine.name}"


def call(machine: Machine, argv: list[str], *, seconds: float = 60.0) -> str:
    """Run the client for the machine's remote and project. Raises as `incus_client.call`."""
    instance = of(machine)
    return incus_client.call(argv, remote=instance.remote, project=instance.project, seconds=seconds)


def find(machine: Machine) -> dict[str, Any] | None:
    """Return what Incus knows of the instance; None if it was deleted or is another's.

    Raises SpecError, MissingTool or CommandFailed.
    """
    instance = of(machine)
    found: dict[str, Any] | None = incus_client.query(
        f"/instances/{machine.name}",
        remote=instance.remote,
        project=instance.project,
        absent="nstance not found|roject not found",
    )
    return found if found is not None and _is_ours(machine, found) else None


def existing(machine: Machine) -> dict[str, Any]:
    """Return what Incus knows of the instance. Raises as `find`, and CommandFailed without one of ours."""
    found = find(machine)
    if found is None:
        raise CommandFailed(
            f"{machine.name}: its instance was deleted from {of(machine).remote}",
            f"notebake delete {machine.name} removes what is left here",
        )
    return found


def _is_ours(machine: Machine, found: dict[str, Any]) -> bool:
    return bool((found["config"] or {}).get("user.notebake") == of(machine).key)


def look(machine: Machine) -> bool:
    """Bring the console log up to date; return whether the machine runs. Raises as `find`."""
    deadline = time.monotonic() + _REBOOT_SECONDS
    while True:
        found = find(machine)
        if found is None:
            return False
        read_console(machine)
        if found["status"] not in _STATES:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.3)


def states(machines: Iterable[Machine]) -> dict[str, State]:
    """Return the state of each by name; a daemon that is away makes its machines `unreachable`."""
    places: dict[tuple[str, str], list[Machine]] = {}
    for each in machines:
        places.setdefault((of(each).remote, of(each).project), []).append(each)
    found: dict[str, State] = {}
    for (remote, project), here in places.items():
        try:
            rows = incus_client.query(
                "/instances", remote=remote, project=project, more="recursion=1", absent="roject not found"
            )
        except NotebakeError:
            found |= {each.name: "unreachable" for each in here}
            continue
        by_name = {row["name"]: row for row in rows or ()}
        found |= {each.name: _state(each, by_name.get(each.name)) for each in here}
    return found


def _state(machine: Machine, row: dict[str, Any] | None) -> State:
    # Of an instance on a member that does not answer, the others know the name only.
    if row is None or not (row["status"] == "Error" or _is_ours(machine, row)):
        return "missing"
    return _STATES.get(row["status"], "running")


def address(machine: Machine) -> str | None:
    """Return the instance's own IPv4 address if this host reaches it, else None. Raises CommandFailed."""
    path = f"/instances/{machine.name}/state"
    state = incus_client.query(path, remote=of(machine).remote, project=of(machine).project)
    for name, interface in (state["network"] or {}).items():
        for each in interface["addresses"]:
            if name != "lo" and (each["family"], each["scope"]) == ("inet", "global"):
                host = str(each["address"])
                if ports.answers(Address(host=host, port=22)):
                    return host
    return None


def read_console(machine: Machine) -> None:
    """Append what the console printed since it was last read; Incus hands most of it out only once."""
    # Two readers at once would append their parts in the wrong order.
    with FileLock(machine.folder / "console.lock"):
        done = incus_client.run(["console", "--show-log", at(machine)], project=of(machine).project)
        if done.returncode != 0:
            return
        # The client adds a newline, in the middle of a line, too.
        console.append(machine.console, done.stdout.decode("utf-8", "replace").removesuffix("\n"))


def forget_console(machine: Machine) -> None:
    """Have Incus delete what a stopped container's console printed, with the token. Our own log is kept."""
    read_console(machine)
    project = quote(of(machine).project, safe="")
    where = f"{of(machine).remote}:/1.0/instances/{machine.name}/console?project={project}"
    incus_client.run(["query", "--request", "DELETE", where])
