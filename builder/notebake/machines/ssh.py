"""The ssh command line into a machine."""

from __future__ import annotations

from collections.abc import Sequence

from notebake import process
from notebake.machines.machine import Machine


def ssh_argv(machine: Machine, command: Sequence[str] = ()) -> list[str]:
    """The ssh command line into the machine, to run `command` (words are joined by ssh) or a shell.

    The host key is pinned at the first login; no key, agent or configuration of the caller's is used.
    """
    ssh = machine.ssh
    return [
        str(process.which("ssh")),
        *("-F", "none", "-i", str(ssh.key), "-p", str(ssh.port)),
        *("-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none"),
        *("-o", "PasswordAuthentication=no", "-o", "StrictHostKeyChecking=accept-new"),
        *("-o", f'UserKnownHostsFile="{ssh.known_hosts}"', "-o", "ConnectTimeout=60"),
        *("-o", "LogLevel=ERROR"),
        f"{ssh.user}@{ssh.host}",
        *command,
    ]
