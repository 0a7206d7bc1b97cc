"""Machines in Incus: containers, or virtual machines where there is KVM; here, on a remote or in a cluster.

`incus_create` makes them; this module boots, stops and deletes them.
"""

from __future__ import annotations

import tenacity

from notebake import process
from notebake.errors import CommandFailed
from notebake.machines import incus_client
from notebake.machines import incus_instance as instance
from notebake.machines.machine import Machine

_BOOT_SECONDS = 900.0
_BUSY_SECONDS = 120.0  # an interrupted client leaves the daemon at its work


def boot(machine: Machine) -> Machine:
    """Boot a stopped instance. Raises SpecError, MissingTool, or CommandFailed, also without an instance."""
    instance.existing(machine)
    try:
        instance.call(machine, ["start", instance.at(machine)], seconds=_BOOT_SECONDS)
    except CommandFailed as error:
        if "forkstart" in error.message:  # says only that it failed
            error.message = f"{machine.name}: Incus cannot start its container\n{_log(machine)}"
            error.hint = "incus warning list, or the log of its daemon, may say why"
        raise
    return machine


def _log(machine: Machine) -> str:
    """Return the last errors that Incus logged of the instance."""
    argv = ["info", "--show-log", instance.at(machine)]
    done = incus_client.run(argv, project=instance.of(machine).project)
    lines = process.tail(done.stdout, 200).splitlines()
    return "\n".join([line for line in lines if " ERROR " in line][:5])


def shutdown(machine: Machine, seconds: float) -> bool:
    """Ask the machine's systemd to power off; return whether it did within `seconds`."""
    argv = ["stop", "--timeout", str(max(1, round(seconds))), instance.at(machine)]
    done = incus_client.run(argv, project=instance.of(machine).project, seconds=seconds + 60)
    if done.returncode == 0:
        instance.forget_console(machine)
    return done.returncode == 0


def end(machine: Machine) -> None:
    """Power the instance off at once if it runs. Raises as `boot`, but not without an instance."""
    found = instance.find(machine)
    if found is not None and found["status"] != "Stopped":
        instance.read_console(machine)
        _when_idle(machine, ["stop", "--force", instance.at(machine)])
        instance.forget_console(machine)


def delete(machine: Machine) -> None:
    """Delete the instance with its disk, unless it was deleted or is another's. Raises as `end`."""
    if instance.find(machine) is not None:
        _when_idle(machine, ["delete", "--force", instance.at(machine)])


def _when_idle(machine: Machine, argv: list[str]) -> None:
    """Run the client; wait while the daemon is still at another work on this instance."""
    patience = tenacity.Retrying(
        retry=tenacity.retry_if_exception(lambda error: "busy" in str(error) or "in progress" in str(error)),
        wait=tenacity.wait_fixed(0.5),
        stop=tenacity.stop_after_delay(_BUSY_SECONDS),
        reraise=True,
    )
    patience(instance.call, machine, argv, seconds=_BUSY_SECONDS)
