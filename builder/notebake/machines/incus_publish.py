"""Publish the notebook and the sshd of an instance on the host it runs on, and boot it.

A container's ports are proxy devices of Incus, which work without a network, too. Those of a virtual machine
need its address: it gets a fixed one, where a host on the same bridge reaches it directly.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from notebake.errors import CommandFailed, SpecError
from notebake.machines import incus, incus_client, ports
from notebake.machines import incus_instance as instance
from notebake.machines import machine as record
from notebake.machines.incus_client import Server
from notebake.machines.machine import Machine

_DEVICES = ("notebake-https", "notebake-ssh")
_IN_USE = ("address already in use", "from listener process")
_ATTEMPTS = 5
_TRIES = 1000


def publish(machine: Machine, server: Server, local: bool, *, fixed: bool) -> Machine:
    """Add the proxy devices and boot; return the machine with the address it has got.

    `fixed`: its public port was asked for. Raises SpecError, MissingTool or CommandFailed.
    """
    if instance.of(machine).vm and local:
        return incus.boot(machine)
    host = ports.LOOPBACK if local else _host(machine, server)
    for attempt in range(_ATTEMPTS):
        machine = record.move(machine, host, machine.address.port, machine.ssh.port)
        _proxies(machine, local)
        try:
            return incus.boot(machine)
        except CommandFailed as error:
            # On another host a port in use is noticed only now, and here others may just have taken it.
            if not any(each in error.message for each in _IN_USE):
                raise
            if fixed and attempt > 0:
                raise SpecError(
                    f"port {machine.address.port}: already used on {host}", "use another port: --port PORT"
                ) from None
            public = machine.address.port if fixed else 20000 + secrets.randbelow(20000)
            machine = record.move(machine, host, public, 40000 + secrets.randbelow(20000))
    raise CommandFailed(f"{host}: no free port was found", "use another port: --port PORT")


def _host(machine: Machine, server: Server) -> str:
    """Return the host name that the instance's ports are published on."""
    if server.clustered:
        location = quote(instance.existing(machine)["location"], safe="")
        found = incus_client.query(f"/cluster/members/{location}", remote=server.remote)
        return str(urlsplit(found["url"]).hostname)
    assert server.host is not None
    return server.host


def _proxies(machine: Machine, local: bool) -> None:
    found = instance.existing(machine)
    everywhere = "[::]" if ":" in machine.address.host else "0.0.0.0"
    listen = ports.LOOPBACK if local else everywhere
    inside, nat = ports.LOOPBACK, "false"
    if instance.of(machine).vm:
        inside = next(each["ipv4.address"] for each in found["devices"].values() if "ipv4.address" in each)
        listen, nat = socket.gethostbyname(machine.address.host), "true"  # NAT takes no wildcard
    published = ((machine.address.port, machine.notebook_port), (machine.ssh.port, 22))
    for name, (outside, port) in zip(_DEVICES, published, strict=True):
        values = [f"listen=tcp:{listen}:{outside}", f"connect=tcp:{inside}:{port}", f"nat={nat}"]
        known = name in found["devices"]
        verb, kind = ("set", []) if known else ("add", ["proxy"])
        instance.call(machine, ["config", "device", verb, instance.at(machine), name, *kind, *values])


def free_address(card: Mapping[str, str], server: Server) -> str:
    """Return an IPv4 address in the network of a profile's card that no instance has. Raises SpecError."""
    found: dict[str, Any] = {}
    if name := card.get("network"):
        path = f"/networks/{quote(name, safe='')}"
        found = incus_client.query(path, remote=server.remote, project=server.project)["config"]
    if found.get("ipv4.address", "none") == "none":
        raise SpecError(
            "--vm: the profile's network is not a bridge of Incus with IPv4",
            "use another profile: --profile NAME",
        )
    bridge = ipaddress.ip_interface(found["ipv4.address"])
    leases = incus_client.query(f"{path}/leases", remote=server.remote, project=server.project) or ()
    used = {str(bridge.ip), *(each["address"] for each in leases)}
    for _ in range(_TRIES):
        address = str(bridge.network[1 + secrets.randbelow(bridge.network.num_addresses - 2)])
        if address not in used:
            return address
    raise SpecError(f"--vm: the network {name} has no free address", "delete machines on it")
