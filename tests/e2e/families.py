"""Machines in the families' shapes: launched, baked as Packer does it, looked at. Used by the tests beside it."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.e2e import shapes
from tests.e2e.shapes.depot import ADDRESS, Depot
from tests.rendering import packer_files, user_data

from notebake import launch, process
from notebake.launch import Source
from notebake.machines import lifecycle, wait
from notebake.machines import network as networks
from notebake.machines.machine import Machine
from notebake.machines.request import Request
from notebake.plan.plan import Plan
from notebake.progress import Steps
from notebake.provision import files
from notebake.record import software
from notebake.render import nocloud

LIMIT = 150.0

FIREWALL = {
    "ubuntu-shape": ("ufw status", r"(?s)Status: active.*22/tcp +ALLOW.*9999/tcp +ALLOW"),
    "opensuse-shape": (
        "firewall-cmd --state; firewall-cmd --zone=public --list-all",
        r"(?s)^running.*services:.*ssh.*ports: 9999/tcp",
    ),
}


class OnlySsh(wait.Watch):
    """For a machine that Packer would provision: it serves no notebook yet."""

    def run(self) -> Machine:
        self.wait_for_sshd()
        return self.machine


@dataclass(frozen=True, kw_only=True)
class Family:
    """One shape, ready to be launched."""

    made: shapes.Made
    depot: Depot
    folder: Path
    steps: Steps

    @property
    def name(self) -> str:
        return self.made.name

    def plan(self, *, closed: bool = True, more: str = "") -> Plan:
        return shapes.plan_for(self.name, self.folder, depot=self.depot.url, closed=closed, more=more)

    def by_user_data(self, plan: Plan) -> Source:
        return shapes.source(plan, self.made.root, user_data(plan).seed, files.build(plan).digest[:12])


def launch_one(
    source: Source,
    steps: Steps,
    *,
    name: str | None = None,
    closed: bool = True,
    alone: bool = False,
    watch: type[wait.Watch] = wait.Watch,
) -> Machine:
    """A machine that serves its notebook. `closed`: the depot is all it reaches; `alone`: not even that."""
    settings: dict[str, Any] = {"platform": "nspawn", "limit": LIMIT, "offline": closed}
    with pytest.MonkeyPatch.context() as patch:
        if closed and not alone:
            patch.setattr(networks, "config", _with_depot)
        return launch.launch_machine(source, name=name, steps=steps, settings=settings, watch=watch)


_config = networks.config


def _with_depot(network: Any, *, offline: bool) -> bytes:
    found = json.loads(_config(network, offline=offline))
    found["ethernets"][networks.INTERFACE]["routes"] = [{"to": f"{ADDRESS}/32", "via": network.host}]
    return json.dumps(found).encode()


@contextlib.contextmanager
def stopped_in_the_end(*machines: Machine) -> Iterator[None]:
    """Stops the machines that still are there."""
    try:
        yield
    finally:
        for machine in machines:
            if any(each.name == machine.name for each in lifecycle.machines()):
                lifecycle.stop(machine.name)


def root_shell(machine: Machine, script: str, *, stdin: bytes | None = None, check: bool = True) -> str:
    """What a shell script, run in the machine as root, prints."""
    # As a login shell of root has it.
    script = f"PATH=$PATH:/usr/sbin:/sbin; {script}"
    quoted = "'" + script.replace("'", "'\\''") + "'"
    argv = machine.ssh.argv(f"sudo -n sh -c {quoted}")
    return process.run(argv, timeout=LIMIT, stdin=stdin, check=check).stdout.decode("utf-8", "replace")


def lets_in_what_it_should(family: Family, machine: Machine) -> bool:
    """Whether the family's firewall itself says that it is on, with ssh and the notebook's port."""
    command, wanted = FIREWALL[family.name]
    return re.search(wanted, root_shell(machine, command)) is not None


@dataclass(frozen=True, kw_only=True)
class Sealed:
    """A baked and sealed tree, and what its machine reported."""

    family: Family
    plan: Plan
    tree: Path
    software: software.Software

    def source(self) -> Source:
        """For a clone."""
        return shapes.source(self.plan, self.tree, b"#cloud-config\n{}\n", "golden")


def bake(family: Family, plan: Plan, destination: Path) -> Sealed:
    """A sealed tree at `destination`: the template's scripts, run over ssh in the order that Packer runs them."""
    prepared = lifecycle.prepare(family.name)
    request = Request(
        name=prepared.name, target=family.name, platform="nspawn", seed=nocloud.build_seed(prepared.public_key),
        user="notebake-build", root=family.made.root, offline=True, limit=LIMIT,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "config", _with_depot)
        machine = lifecycle.start(request, steps=family.steps, watch=OnlySsh)
    with stopped_in_the_end(machine):
        files = {item.path: item.data for item in packer_files(plan)}
        root_shell(machine, "cat >/tmp/guest.tar.gz", stdin=files["guest.tar.gz"])
        for name in ("install.sh", "report.sh", "report.py", "finish.sh", "seal.sh"):
            root_shell(machine, f"cat >/tmp/{name}", stdin=files[f"scripts/{name}"])
        with family.steps.step(f"bake {family.name}"):
            _script(machine, "/tmp/install.sh")
            _script(machine, "/tmp/report.sh")
            report = destination.with_name("software.json")
            report.write_text(root_shell(machine, "cat /tmp/software.json"))
            _script(machine, "/tmp/seal.sh")
            _script(machine, "/run/notebake-seal/finish.sh", check=False)
            assert machine.process.wait(60), "the sealed machine did not power off"
        shapes.move(machine.folder / "root", destination)
    return Sealed(family=family, plan=plan, tree=destination, software=software.load(report))


def _script(machine: Machine, path: str, *, check: bool = True) -> None:
    """As the template's execute_command has it, with nothing around it."""
    argv = machine.ssh.argv(f"sudo env sh {path}")
    process.run(argv, timeout=LIMIT, check=check)
