"""Launch machines in the families' shapes, bake them as Packer does, and run commands in them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tenacity
from tests.e2e import shapes
from tests.e2e.shapes.package_server import PackageServer
from tests.incus import CLOSED, Incus
from tests.rendering import packer_files, user_data

from notebake import launch, process
from notebake.errors import NotReady
from notebake.launch import Source
from notebake.machines import console, lifecycle, platforms, reserve, rootfs, wait
from notebake.machines.machine import Machine
from notebake.machines.request import Request
from notebake.plan.plan import Plan
from notebake.probe.report import Report
from notebake.progress import Steps
from notebake.provision import files
from notebake.record import software
from notebake.render import nocloud

LIMIT = 600.0  # for a busy host
BOOT = "cat /proc/sys/kernel/random/boot_id"

FIREWALL = {
    "ubuntu-shape": ("ufw status", r"(?s)Status: active.*22/tcp +ALLOW.*9999/tcp +ALLOW"),
    "opensuse-shape": (
        "firewall-cmd --state; firewall-cmd --zone=public --list-all",
        r"(?s)^running.*services:.*ssh.*ports: 9999/tcp",
    ),
}


# Own software in every form, and a time for reboots.
OWN = """\
[image]
os_packages = {apt = ["needrestart"], zypper = ["shape-tool"]}
[[image.files]]
source = "own.bin"
path = "/usr/local/share/own/own.bin"
mode = "0640"
[[image.files]]
source = "own.txt"
path = "/home/azureuser/.config/own/own.txt"
[[image.run]]
script = "before.sh"
when = "before"
[[image.run]]
script = "after.py"
[updates]
reboot = "04:00"
"""
OWN_FILES = {
    # Larger than one argument of a program may be.
    "own.bin": b"\0\xff binary\r\n" * 20_000,
    "own.txt": "à la carte\n".encode(),
    "before.sh": b"# without a program\ntest ! -e /etc/jupyter\ncat /usr/local/share/own/own.bin >/var/own\n"
    b"echo before >>/var/own.log\n",
    "after.py": b"#!/opt/notebake/env/bin/python\nimport numpy\n"
    b"open('/var/own.log', 'a').write(f'after {numpy.add(1, 1)}\\n')\n",
}


class OnlySsh(wait.Watch):
    """Waits for sshd only: a machine that Packer would provision serves no notebook yet."""

    def run(self) -> Machine:
        self.wait_for_sshd()
        return self.machine


@dataclass(frozen=True, kw_only=True)
class Family:
    """One shape, ready to be launched, the server that it installs from, and the daemon that runs it."""

    made: shapes.Made
    package_server: PackageServer
    incus: Incus
    folder: Path
    steps: Steps

    @property
    def name(self) -> str:
        return self.made.name

    def plan(self, *, closed: bool = True, more: str = "") -> Plan:
        server = self.package_server.url
        return shapes.plan_for(self.name, self.folder, server=server, closed=closed, more=more)

    def own_plan(self) -> Plan:
        """Return a plan for a closed network with own software."""
        for name, data in OWN_FILES.items():
            (self.folder / name).write_bytes(data)
        return self.plan(more=OWN)

    def by_user_data(self, plan: Plan) -> Source:
        return shapes.source(plan, self.made.root, user_data(plan).seed, files.build(plan).digest[:12])


def launch_one(
    source: Source,
    steps: Steps,
    *,
    name: str | None = None,
    closed: bool = True,
    offline: bool = False,
    watch: type[wait.Watch] = wait.Watch,
) -> Machine:
    """Return a machine that serves its notebook.

    `closed`: it reaches nothing but the package server; `offline`: its network card is connected to nothing.
    """
    settings: dict[str, Any] = {
        "platform": "incus", "limit": LIMIT, "offline": offline, "memory_mib": 2048,
        "profiles": (CLOSED,) if closed else (),
    }  # fmt: skip
    return launch.launch_machine(source, name=name, steps=steps, settings=settings, watch=watch)


def cut_power(machine: Machine) -> None:
    """Stop the machine as a power cut does: nothing in it can finish."""
    platforms.end(machine)


def failing_launch(source: Source, steps: Steps, *, name: str) -> str:
    """Return the error of a launch that must fail; wait no longer than until the machine reports it."""

    class UntilItFails(wait.Watch):
        def on_console(self, text: str) -> None:
            super().on_console(text)
            if self.failure is not None:
                raise self.not_ready("the set-up failed")

    try:
        with pytest.raises(NotReady) as caught:
            launch_one(source, steps, name=name, watch=UntilItFails)
    finally:
        if any(machine.name == name for machine in lifecycle.machines()):
            lifecycle.delete(name)
    return f"{caught.value.message}\n{caught.value.hint}"


@contextlib.contextmanager
def stopped_afterwards(*machines: Machine) -> Iterator[None]:
    """Stop the machines after the block, unless that has been done."""
    try:
        yield
    finally:
        for machine in machines:
            if machine.name in {running.name for running in lifecycle.machines()}:
                lifecycle.delete(machine.name)


def root_shell(machine: Machine, script: str, *, stdin: bytes | None = None, check: bool = True) -> str:
    """Run a shell script in the machine as root and return its output."""
    # The PATH of root's login shell.
    script = f"PATH=$PATH:/usr/sbin:/sbin; {script}"
    quoted = "'" + script.replace("'", "'\\''") + "'"
    argv = machine.ssh.argv(f"sudo -n sh -c {quoted}")
    return process.run(argv, timeout=LIMIT, stdin=stdin, check=check).stdout.decode("utf-8", "replace")


def check_metadata(machine: Machine, look: Callable[..., Report], firewall: str) -> None:
    """Check that root reaches a metadata service and a kernel does not, also after the firewall restarted."""
    root_shell(machine, "ip address add 169.254.169.254/32 dev lo")
    root_shell(
        machine, "systemd-run --quiet --unit metadata python3 -m http.server --bind 169.254.169.254 80"
    )
    client = "import socket; socket.create_connection(('169.254.169.254', 80))"
    root_shell(machine, f'timeout 30 sh -c "until python3 -c \\"{client}\\"; do sleep 0.2; done"')

    token = lifecycle.token(machine)  # None on a machine with a password

    def result() -> tuple[str, str]:
        login = {"password": None, "token": token} if token else {}
        (found,) = look(machine, "metadata", **login).results
        return found.status, found.detail

    refused = ("passed", "refused by the machine's firewall")
    assert result() == refused
    root_shell(machine, f"systemctl restart {firewall}")
    assert result() == refused
    root_shell(machine, "systemctl stop notebake-metadata")
    assert result()[0] == "failed"
    root_shell(machine, "systemctl start notebake-metadata; systemctl stop metadata")
    root_shell(machine, "ip address delete 169.254.169.254/32 dev lo")


def console_log(machine: Machine) -> str:
    """Return all that the machine's console printed until now."""
    platforms.look(machine)
    return console.read(machine.console)


def firewall_is_on(family: Family, machine: Machine) -> bool:
    """Return whether the family's firewall reports that it is on and allows ssh and the notebook's port."""
    command, expected = FIREWALL[family.name]
    return re.search(expected, root_shell(machine, command)) is not None


@dataclass(frozen=True, kw_only=True)
class Sealed:
    """A baked and sealed tree, the tar of it that clones are made of, and its software inventory."""

    family: Family
    plan: Plan
    tree: Path
    root: Path
    software: software.Software

    def source(self) -> Source:
        """Return what a clone is launched from."""
        return shapes.source(self.plan, self.root, b"#cloud-config\n{}\n", "golden")


def bake(family: Family, plan: Plan, destination: Path) -> Sealed:
    """Make a sealed tree at `destination`: run the template's scripts over ssh, in the order of Packer."""
    prepared = reserve.prepare(family.name)
    seed = nocloud.build_seed(prepared.public_key)
    request = Request(
        name=prepared.name, target=family.name, platform="incus", seed=seed, user="notebake-build",
        root=family.made.root, profiles=(CLOSED,), limit=LIMIT,
    )  # fmt: skip
    machine = lifecycle.launch(request, steps=family.steps, watch=OnlySsh)
    files = {file.path: file.data for file in packer_files(plan)}
    with stopped_afterwards(machine):
        _upload(machine, "guest.tar.gz", files["guest.tar.gz"])
        with family.steps.step(f"bake {family.name}"):
            _script(machine, "install.sh", files)
            _reboot(machine, files)
            _upload(machine, "report.py", files["scripts/report.py"])
            _script(machine, "report.sh", files)
            inventory = destination.with_name("software.json")
            inventory.write_text(root_shell(machine, "cat /tmp/software.json"))
            for name in ("finish.sh", "zero.py"):
                _upload(machine, name, files[f"scripts/{name}"])
            _script(machine, "seal.sh", files)
            process.run(machine.ssh.argv("sudo sh /run/notebake-seal/finish.sh"), timeout=LIMIT, check=False)
            tenacity.Retrying(
                wait=tenacity.wait_fixed(0.2), stop=tenacity.stop_after_delay(LIMIT),
                retry=tenacity.retry_if_result(lambda running: running),
            )(platforms.look, machine)  # fmt: skip
        family.incus.move_root(machine.name, destination)
    root = destination.with_name("root.tar.zst")
    rootfs.pack(destination, root)
    return Sealed(family=family, plan=plan, tree=destination, root=root, software=software.load(inventory))


def _upload(machine: Machine, name: str, data: bytes) -> None:
    root_shell(machine, f"cat >/tmp/{name}", stdin=data)


def _script(machine: Machine, name: str, files: Mapping[str, bytes], *, check: bool = True) -> None:
    """Run a script exactly as the template's execute_command does."""
    _upload(machine, name, files[f"scripts/{name}"])
    process.run(machine.ssh.argv(f"sudo env sh /tmp/{name}"), timeout=LIMIT, check=check)


def _reboot(machine: Machine, files: Mapping[str, bytes]) -> None:
    """Run the scripts that reboot the machine, as if the upgrade had brought a kernel."""
    root_shell(machine, "mkdir -p /lib/modules/9999")
    before = root_shell(machine, BOOT)
    _script(machine, "reboot.sh", files, check=False)
    wait_for_another_boot(machine, before)
    units = "systemctl list-units --all --no-legend --state=active,activating 'notebake-*' 'apt-daily*'"
    assert root_shell(machine, units) == ""
    _script(machine, "rebooted.sh", files)
    root_shell(machine, "rm -r /lib/modules/9999")


def wait_for_another_boot(machine: Machine, before: str) -> None:
    """Wait until the machine has booted after the boot whose id is `before`."""
    tenacity.Retrying(
        wait=tenacity.wait_fixed(1), stop=tenacity.stop_after_delay(LIMIT),
        retry=tenacity.retry_if_not_result(lambda now: len(now) == len(before) and now != before),
    )(root_shell, machine, BOOT, check=False)  # fmt: skip
