"""Make an instance in Incus: what a launch needs there, the plan of the machine, its configuration."""

from __future__ import annotations

import gzip
import json
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from filelock import BaseFileLock

from notebake.errors import NotebakeError, SpecError
from notebake.machines import incus_client, incus_image, incus_publish, ports
from notebake.machines import machine as record
from notebake.machines.incus_client import Server
from notebake.machines.machine import Instance, Machine
from notebake.machines.request import Request
from notebake.progress import Steps

_CREATE_SECONDS = 900.0
# A card that is connected to nothing, with an address (of RFC 5737): without one, each boot waits for it.
_UNCONNECTED = {"type": "nic", "nictype": "p2p", "name": "eth0"}
_ALONE = "{version: 2, ethernets: {eth0: {addresses: [192.0.2.1/32]}}}"

Device = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What a launch needs: the server, the image's fingerprint there, devices that replace the profile's."""

    server: Server
    image: str
    devices: dict[str, Device]


def prepare(request: Request, steps: Steps) -> Prepared:
    """Check the server, the profiles and the name, and import the image, but make no instance.

    Raises SpecError, MissingTool or CommandFailed.
    """
    server = incus_client.server(request.remote, request.project)
    if request.vm and request.offline:
        raise SpecError("--vm and --offline cannot be used together on Incus", "leave out --vm")
    if request.vm and not server.machines:
        raise SpecError(
            f"--vm: {server.remote} runs no virtual machines",
            "it needs /dev/kvm and vhost_vsock; leave out --vm",
        )
    if request.member:
        _check_member(request.member, server)
    devices = _devices(request, server)
    check_names([request.name], server)
    return Prepared(server=server, image=incus_image.ensure(request, server, steps), devices=devices)


def _check_member(member: str, server: Server) -> None:
    if not server.clustered:
        raise SpecError(f"--target {member}: {server.remote} is not a cluster", "leave out --target")
    known = _last_parts(incus_client.query("/cluster/members", remote=server.remote))
    if member not in known:
        listed = ", ".join(sorted(known))
        raise SpecError(f"--target {member}: {server.remote} has no such member", f"members: {listed}")


def _devices(request: Request, server: Server) -> dict[str, Device]:
    """Return the profiles' root disk with the requested size, and the network cards where they change.

    Raises SpecError for profiles without a root disk or a network.
    """
    devices: dict[str, Device] = {}
    chosen = request.profiles or ("default",)
    for name in chosen:
        found = incus_client.query(
            f"/profiles/{quote(name, safe='')}",
            remote=server.remote,
            project=server.project,
            absent="rofile not found",
        )
        if found is None:
            raise SpecError(
                f"profile {name}: {server.remote} has no such profile in the project {server.project}",
                f"incus profile list {server.remote}: --project {server.project}",
            )
        devices |= found["devices"]
    shown = ", ".join(chosen)
    cards = {name: each for name, each in devices.items() if each["type"] == "nic"}
    if not cards and not request.offline:
        raise SpecError(
            f"profile {shown}: has no network",
            f"incus network create incusbr0 {server.at('')} && "
            f"incus profile device add {server.at(chosen[-1])} eth0 nic network=incusbr0 name=eth0 "
            f"--project {server.project}",
        )
    roots = {n: each for n, each in devices.items() if (each["type"], each.get("path")) == ("disk", "/")}
    if not roots:
        raise SpecError(
            f"profile {shown}: has no root disk",
            f"incus storage create default dir {server.at('')} && "
            f"incus profile device add {server.at(chosen[-1])} root disk path=/ pool=default "
            f"--project {server.project}",
        )
    (name, root) = list(roots.items())[-1]
    changed = {name: {**root, "size": f"{request.disk_gib}GiB"}}
    if request.offline:
        changed |= {name: {"type": "none"} for name in cards} | {"eth0": _UNCONNECTED}
    if request.vm:
        (name, card) = next(iter(cards.items()))
        changed[name] = {**card, "ipv4.address": incus_publish.free_address(card, server)}
        changed["notebake-seed"] = {"type": "disk", "source": "cloud-init:config"}
    return changed


def names(server: Server) -> set[str]:
    """Return the names of all instances in the server's project. Raises as `prepare`."""
    return _last_parts(incus_client.query("/instances", remote=server.remote, project=server.project))


def check_names(wanted: Collection[str], server: Server) -> None:
    """Raise SpecError for a name that an instance has; ours are known by their machines' records."""
    for name in sorted(names(server).intersection(wanted)):
        raise _taken(name, server)


def _last_parts(urls: list[str] | None) -> set[str]:
    return {urlsplit(each).path.rsplit("/", 1)[-1] for each in urls or ()}


def _taken(name: str, server: Server) -> SpecError:
    return SpecError(
        f"name: {server.remote} has an instance {name} that this notebake did not make",
        "use another name: --name NAME",
    )


def start(request: Request, folder: Path, prepared: Prepared, lock: BaseFileLock) -> Machine:
    """Make the instance and boot it. Its plan is saved first, so that nothing of it is ever lost.

    Raises SpecError, MissingTool or CommandFailed; the caller removes what the plan names.
    """
    local = prepared.server.host is None and not prepared.server.clustered
    with lock:
        machine = record.save(_plan(request, folder, prepared, local), record.PLANNED)
    _create(request, machine, prepared)
    fixed = request.public_port is not None
    return record.save(incus_publish.publish(machine, prepared.server, local, fixed=fixed), record.PLANNED)


def _plan(request: Request, folder: Path, prepared: Prepared, local: bool) -> Machine:
    server = prepared.server
    instance = Instance(
        remote=server.remote, project=server.project, key=secrets.token_hex(16), vm=request.vm
    )
    if request.vm and local:
        host = next(each["ipv4.address"] for each in prepared.devices.values() if "ipv4.address" in each)
        return request.machine(folder, host=host, public=request.notebook_port, instance=instance)
    kept = {
        port: each.name for each in (*record.every(), *record.every(record.PLANNED)) for port in _ports(each)
    }
    public, ssh = ports.choose(
        requested=request.public_port if local else None,
        endpoint=request.endpoint_port,
        more=1,
        kept=kept,
        by_daemon=True,
    )
    if not local:
        public = request.public_port or request.endpoint_port
    return request.machine(folder, host=ports.LOOPBACK, public=public, ssh=ssh, instance=instance)


def _ports(machine: Machine) -> tuple[int, ...]:
    if machine.address.host != ports.LOOPBACK:
        return ()
    return (machine.address.port, machine.ssh.port)


def _create(request: Request, machine: Machine, prepared: Prepared) -> None:
    server, instance = prepared.server, machine.instance
    assert instance is not None
    user_data = request.seed["user-data"]
    if user_data.startswith(b"\x1f\x8b"):
        user_data = gzip.decompress(user_data)
    public_key = (machine.folder / f"{record.KEY}.pub").read_text(encoding="ascii").strip()
    config = {
        "user.notebake": instance.key,
        "cloud-init.user-data": user_data.decode(),
        # Incus adds instance-id and local-hostname.
        "user.meta-data": json.dumps({"public-keys": [public_key]})[1:-1] + "\n",
        "limits.memory": f"{request.memory_mib}MiB",
        "limits.cpu": str(request.cpus),
    }
    argv = ["init", "--quiet", server.at(prepared.image), server.at(machine.name)]
    argv += [word for name in request.profiles for word in ("--profile", name)]
    argv += ["--target", request.member] if request.member else []
    if request.offline:
        config["cloud-init.network-config"] = _ALONE
    if request.vm:
        argv.append("--vm")
        # The images' boot loader is GRUB for BIOS.
        config |= {"security.secureboot": "false", "security.csm": "true"}
    given = json.dumps({"config": config, "devices": prepared.devices}).encode()
    try:
        incus_client.call(
            argv, remote=server.remote, project=server.project, stdin=given, seconds=_CREATE_SECONDS
        )
    except NotebakeError as error:
        if "UNIQUE constraint" in error.message or "already exists" in error.message:
            raise _taken(machine.name, server) from None
        raise
