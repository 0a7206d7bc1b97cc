"""The record of a launched machine, one JSON file in a folder of its own under the state folder.

No secret is in it: the one-time token is in the console log, later in its own file (0600) like the ssh key.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from notebake import documents, files, paths
from notebake.accelerator import Choice
from notebake.address import Address
from notebake.errors import CommandFailed, SpecError
from notebake.machines.pids import Process
from notebake.ssh import Ssh

Platform = Literal["qemu", "incus", "aws", "adopted"]
State = Literal["running", "stopped", "failed", "missing", "unreachable"]

NAME = re.compile(r"[a-z][a-z0-9-]{0,40}")
# Files in a machine's folder.
MARK = "NOTEBAKE_MACHINE"  # in the environment of a machine's process: its folder
RECORD = "machine.json"
PLANNED = "planned.json"  # the record of one that is being made
CONSOLE = "console.log"
PREVIOUS_CONSOLE = "console.previous.log"
TOKEN = "token"  # kept from the console of the boot that made it
KEY = "id_ed25519"
CANARY_PORT = 8765  # where a probe's test listener waits inside: the guest's firewall must hide it


@dataclass(frozen=True, kw_only=True)
class Instance:
    """A machine's instance in Incus: a remote of the client, a project there.

    `key` is in its configuration as `user.notebake`: an instance without it belongs to others.
    """

    remote: str
    project: str
    key: str
    vm: bool = False


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """Where a machine is in a cloud: its region; whether it has a public address.

    `key` is the tag `notebake` of all that was made for it: nothing without it is touched.
    """

    region: str
    key: str
    public: bool = True


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A launched machine, running or not.

    `process` is that of QEMU, None after `stop`; `failed`: its notebook did not answer after the last boot.

    `address` is where its notebook answers; `source` is `user-data` or the image's path, then with its
    `sha256`; `fingerprint` is the certificate's SHA-256 as `AB:CD:...` once known; `created` is UTC, ISO
    8601; `canary` is where a listener on `canary_inside` in the machine would be seen, were it let in (None
    for Incus, where the address is asked for, and in clouds, whose own firewall hides it);
    `own_certificate`: it serves the user's own certificate; `metadata`: its kernels can reach a cloud's
    metadata service; `sudo`: they can become root; `offline`: it has no outgoing network;
    `has_password`: it got a password after its launch, and its token is no longer valid.
    """

    name: str
    platform: Platform
    target: str
    source: str
    sha256: str | None
    process: Process | None
    address: Address
    notebook_port: int
    canary: Address | None
    canary_inside: int
    ssh: Ssh
    console: Path
    fingerprint: str | None
    created: str
    instance: Instance | None = None
    cloud: Cloud | None = None
    own_certificate: bool = False
    metadata: bool = False
    sudo: bool = False
    memory_mib: int = 2048
    cpus: int = 2
    accel: Choice = "auto"
    offline: bool = False
    failed: bool = False
    has_password: bool = False

    @property
    def folder(self) -> Path:
        """Return the machine's own folder (0700)."""
        return self.console.parent

    @property
    def url(self) -> str:
        """Return the notebook's address for a browser."""
        return f"https://{self.address.authority}{self.address.path}/"

    def alive(self) -> bool:
        """Return whether its process on this host runs."""
        return self.process is not None and self.process.alive()


def folder(name: str) -> Path:
    """Return the folder of the machine `name`; raises SpecError for a name that could not be one."""
    if not NAME.fullmatch(name):
        raise SpecError(
            f"name: {name!r} is not a machine's name", "use a small letter, then up to 40 of a-z, 0-9 and -"
        )
    return paths.state_folder() / "machines" / name


def save(machine: Machine, name: str = RECORD) -> Machine:
    """Write the machine record atomically and return `machine`. Raises CommandFailed."""
    text = json.dumps(dataclasses.asdict(machine), indent=2, default=str) + "\n"
    files.write_whole(machine.folder / name, text.encode(), 0o600)
    return machine


def load(name: str, file: str = RECORD) -> Machine:
    """Return the machine `name`. Raises SpecError if there is none, CommandFailed for a broken record."""
    path = folder(name) / file
    try:
        return _decode(documents.load_json(path))
    except FileNotFoundError:
        known = ", ".join(each.name for each in every()) or "none"
        raise SpecError(f"{name}: no such machine", f"machines: {known}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CommandFailed(f"{path}: not a machine's record: {error}", "remove its folder by hand") from None


def every(file: str = RECORD) -> list[Machine]:
    """Return all machines with a readable record, running or not, by name (class-2 before class-10).

    With PLANNED: those that are being made.
    """
    found = []
    for path in sorted((paths.state_folder() / "machines").glob(f"*/{file}"), key=_in_order):
        try:
            found.append(load(path.parent.name, file))
        except (CommandFailed, SpecError):
            continue  # one broken record must not hide the others
    return found


def move(machine: Machine, host: str, public: int, ssh: int) -> Machine:
    """Return the machine with its notebook and its sshd at other ports, on `host`."""
    return dataclasses.replace(
        machine,
        address=dataclasses.replace(machine.address, host=host, port=public),
        ssh=dataclasses.replace(machine.ssh, host=host, port=ssh),
    )


def private(path: str, flags: int) -> int:
    """Open a file that, if it is new, only its owner may read: for `open`."""
    return os.open(path, flags, 0o600)


def _in_order(path: Path) -> list[str | int]:
    # Every other part is a number; a name begins with a letter, so that like is compared with like.
    return [int(part) if part.isdigit() else part for part in re.split(r"([0-9]+)", path.parent.name)]


def delete(name: str) -> None:
    """Remove the machine's folder with all its files, if it exists."""
    path = folder(name)
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise CommandFailed(
            f"{path}: cannot be removed: {error.strerror}", "is a file in it in use?"
        ) from None


def _decode(raw: dict[str, Any]) -> Machine:
    ssh = raw["ssh"]
    return Machine(
        **{
            **raw,
            "process": raw["process"] and Process(**raw["process"]),
            "address": Address(**raw["address"]),
            "canary": raw["canary"] and Address(**raw["canary"]),
            "instance": raw["instance"] and Instance(**raw["instance"]),
            "cloud": raw["cloud"] and Cloud(**raw["cloud"]),
            "ssh": Ssh(**{**ssh, "key": Path(ssh["key"]), "known_hosts": Path(ssh["known_hosts"])}),
            "console": Path(raw["console"]),
        }
    )
