"""Machines in systemd-nspawn: the guest's own systemd and cloud-init in seconds, on the host's kernel.

There is no hardware to set: memory, processors and disk size are the host's.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import sys
from pathlib import Path

from filelock import FileLock

from notebake import process
from notebake.errors import CommandFailed, MissingTool, NotebakeError, SpecError
from notebake.machines import console, pids, rootfs, supervisor
from notebake.machines import network as networks
from notebake.machines.machine import MARK, Machine, Network
from notebake.machines.request import Request

_SEED = "var/lib/cloud/seed/nocloud"
_TOOLS = ("systemd-nspawn", "ip", "nft", "tar")
_PROPAGATE = Path("/run/systemd/nspawn/propagate")
# Namespaces and addresses are the host's, not one user's: one lock for all state folders.
HOST_LOCK = Path("/run/notebake-network.lock")


def unpack(request: Request, folder: Path) -> None:
    """Fill `folder`/root with the machine's root tree: the slow part, for which no lock is needed.

    Raises MissingTool (also when this is not root), SpecError, CommandFailed that names the folder.
    """
    _check_host()
    root = folder / "root"
    try:
        if request.root is not None:
            rootfs.unpack(request.root, root)
        elif request.disk is not None:
            rootfs.root_from_image(request.disk, root)
        else:
            raise SpecError("platform nspawn: needs a root tree or an image", "give one of them")
    except (SpecError, MissingTool):
        raise
    except (NotebakeError, OSError) as error:
        hint = error.hint if isinstance(error, NotebakeError) else "is the disk full?"
        raise CommandFailed(f"{root}: the machine's root cannot be made: {error}", hint) from None


def start(request: Request, folder: Path) -> Machine:
    """Choose the addresses, plant the seed, boot the container in `folder`/root.

    Raises MissingTool or CommandFailed; then nothing is left on the host but `folder`.
    """
    tag = networks.names(folder)
    with FileLock(HOST_LOCK):
        network = networks.plan(tag, _cgroups(tag))
        plant(request, folder / "root", network)
        public = request.public_port or request.endpoint_port
        return _boot(request.machine(folder, host=network.guest, public=public, network=network))


def boot(machine: Machine) -> Machine:
    """Boot a stopped machine: the same tree, name and addresses.

    Its network is re-created: a reboot of the host removed it. Raises MissingTool or CommandFailed.
    """
    _check_host()
    with FileLock(HOST_LOCK):
        return _boot(machine)


def _boot(machine: Machine) -> Machine:
    assert machine.network is not None
    remove(machine)
    network = networks.create(
        dataclasses.replace(machine.network, cgroups=_cgroups(networks.names(machine.folder)), forwarding=()),
        public=machine.address.port,
        inside=machine.notebook_port,
        offline=machine.offline,
    )
    name = _host_name(machine.name, machine.folder)
    child: pids.Process | None = None
    try:
        pid = process.spawn(
            arguments(machine.folder / "root", network, name),
            log=machine.console,
            env={"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1", MARK: str(machine.folder)},
        )
        child = pids.identify(pid)
        if child is None:
            raise CommandFailed(
                f"systemd-nspawn: exited immediately\n{console.tail(console.read(machine.console))}"
            )
    except BaseException:
        if child is not None:
            child.kill()
        networks.remove(network)
        raise
    return dataclasses.replace(machine, process=child, network=network)


def arguments(root: Path, network: Network, name: str) -> list[str]:
    """Return the command line: the supervisor, and the machine that it keeps running over reboots."""
    nspawn = [
        *(str(process.which("systemd-nspawn")), "--quiet", f"--directory={root}", f"--machine={name}"),
        *("--boot", "--register=no", "--keep-unit", "--capability=CAP_NET_ADMIN"),
        *(f"--network-namespace-path=/run/netns/{network.netns}", "--resolv-conf=off"),
        # Not `interactive`: there is no terminal, the console goes to the log.
        *("--console=read-only", "--link-journal=no", "--timezone=off"),
    ]
    kept = [sys.executable, "-I", supervisor.__file__, *map(str, network.cgroups), "--", *nspawn]
    if network.cgroups:
        return kept
    scope = ["systemd-run", "--scope", "--quiet", "--collect", f"--unit={network.netns}"]
    return [*scope, "--property=Delegate=yes", "--", *kept]


def remove(machine: Machine) -> None:
    """Remove what a stopped machine has on the host outside its folder, if anything."""
    assert machine.network is not None
    networks.remove(machine.network)
    # nspawn removes it by itself only where /run is a tmpfs.
    with contextlib.suppress(OSError):
        (_PROPAGATE / _host_name(machine.name, machine.folder)).rmdir()


def _host_name(name: str, folder: Path) -> str:
    return f"{name}-{networks.names(folder)}"


def shutdown(machine: Machine, seconds: float) -> bool:
    """Ask the machine's systemd to power off; return whether it did within `seconds`."""
    # The supervisor hands SIGTERM to nspawn, which sends systemd SIGRTMIN+3: an orderly power-off.
    assert machine.process is not None
    machine.process.signal(signal.SIGTERM)
    return machine.process.wait(seconds)


def _check_host() -> None:
    if os.geteuid() != 0:
        raise MissingTool(
            "systemd-nspawn: needs root", "run the same command with sudo, or use the platform qemu"
        )
    for tool in _TOOLS:
        process.which(tool)


def _cgroups(tag: str) -> tuple[Path, ...]:
    """Return the folders to make for the machine's control group; none if the host's systemd makes it."""
    if Path("/run/systemd/system").is_dir():
        return ()
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    found = []
    for line in mounts:
        _, place, kind, options, *_ = line.split()
        if kind == "cgroup2" or (kind == "cgroup" and "name=systemd" in options.split(",")):
            found.append(Path(place) / f"notebake-{tag}")
    return tuple(found)


def plant(request: Request, root: Path, network: Network) -> None:
    """Put the seed and the name servers into the root tree; symlinks in it are never followed out."""
    seed = dict(request.seed)
    seed["network-config"] = networks.config(network, offline=request.offline)
    try:
        folder = root
        for part in _SEED.split("/"):
            folder = folder / part
            if folder.is_symlink():
                raise CommandFailed(
                    f"{folder}: a symlink where the seed must go", "is that root a plain one?"
                )
            folder.mkdir(exist_ok=True)
        folder.chmod(0o700)
        for name, data in seed.items():
            (folder / name).write_bytes(data)
            (folder / name).chmod(0o600)
        resolv = root / "etc/resolv.conf"
        # A symlink means that systemd-resolved answers there, told by the seed's network-config.
        if not resolv.is_symlink() and not request.offline:
            resolv.write_text("".join(f"nameserver {each}\n" for each in networks.nameservers()))
    except OSError as error:
        raise CommandFailed(f"{root}: cannot be written: {error.strerror}", "is the disk full?") from None
