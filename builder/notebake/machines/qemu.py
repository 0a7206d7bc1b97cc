"""Machines in QEMU: a real disk, kernel and boot loader behind QEMU's user network.

The base is never written to: every machine has a qcow2 overlay and a hard link to its base in its own
folder. All ports are bound to 127.0.0.1.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import socket
import time
from pathlib import Path

import tenacity

from notebake import accelerator, process, seed
from notebake.errors import CommandFailed, MissingTool, NotebakeError, SpecError
from notebake.machines import console, pids, ports
from notebake.machines.machine import Machine, every
from notebake.machines.request import Request

_QMP = "qmp"
_LOG = "qemu.log"
_SOCKET_LIMIT = 107  # sun_path, unix(7)
_PORT_TAKEN = "Could not set up host forwarding rule"
_ATTEMPTS = 5


def start(request: Request, folder: Path) -> Machine:
    """Choose the ports, make the disk and the seed, boot; return once QEMU holds its ports.

    Raises MissingTool, CommandFailed (which names the folder), SpecError; the caller removes `folder`.
    """
    if request.disk is None:
        raise SpecError("platform qemu: needs a disk image", "give an image, or use the platform incus")
    if not request.disk.is_file():
        raise SpecError(f"{request.disk}: no such image", "bake it first: notebake bake")
    if len(os.fsencode(folder / _QMP)) > _SOCKET_LIMIT:
        raise SpecError(
            f"{folder}: this path is too long for a socket", "set XDG_STATE_HOME to a shorter one"
        )
    chosen = accelerator.choose(request.accel)
    _disks(request, folder)
    # Others may take a free port before QEMU does.
    attempts = tenacity.Retrying(
        retry=tenacity.retry_if_exception(lambda error: _PORT_TAKEN in str(error)),
        stop=tenacity.stop_after_attempt(_ATTEMPTS),
        reraise=True,
    )
    return attempts(_boot_on_free_ports, request, folder, chosen)


def _boot_on_free_ports(request: Request, folder: Path, chosen: accelerator.Accelerator) -> Machine:
    kept = {port: each.name for each in every() for port in _ports(each)}
    public, ssh, canary = ports.choose(
        requested=request.public_port, endpoint=request.endpoint_port, more=2, kept=kept
    )
    return _boot(request.machine(folder, host=ports.LOOPBACK, public=public, ssh=ssh, canary=canary), chosen)


def boot(machine: Machine) -> Machine:
    """Boot a stopped machine: the same disk and ports. Raises MissingTool, CommandFailed, SpecError."""
    for port in _ports(machine):
        ports.check(port)
    return _boot(machine, accelerator.choose(machine.accel))


def _boot(machine: Machine, chosen: accelerator.Accelerator) -> Machine:
    folder = machine.folder
    pid = process.spawn(arguments(machine, chosen), log=folder / _LOG)
    child = pids.identify(pid)
    try:
        if child is None or not _listening(child, folder / _QMP):
            output = console.tail(console.read(folder / _LOG))
            raise CommandFailed(
                f"{accelerator.QEMU}: exited immediately\n{output}", "is a port or the image in use?"
            )
    except BaseException:
        if child is not None:
            child.kill()
        raise
    return dataclasses.replace(machine, process=child)


def remove(machine: Machine) -> None:
    """Remove the monitor's socket of a stopped machine: it has nothing outside its folder."""
    (machine.folder / _QMP).unlink(missing_ok=True)


def _ports(machine: Machine) -> tuple[int, ...]:
    if machine.platform != "qemu":
        return ()
    assert machine.canary is not None
    return (machine.address.port, machine.ssh.port, machine.canary.port)


def arguments(machine: Machine, chosen: accelerator.Accelerator) -> list[str]:
    """Return QEMU's command line; a comma in a path is doubled, as QEMU's option parser requires."""
    folder = machine.folder
    inside = (machine.notebook_port, 22, machine.canary_inside)
    network = ["user", "id=net", *(["restrict=on"] if machine.offline else [])]
    network += [
        f"hostfwd=tcp:{ports.LOOPBACK}:{outside}-:{port}"
        for outside, port in zip(_ports(machine), inside, strict=True)
    ]
    return [
        accelerator.QEMU,
        *chosen.qemu_args(),
        # No floppy, CD drive, VGA or PXE ROM: the firmware would ask each of them in turn.
        *("-nodefaults", "-no-user-config", "-display", "none"),
        *("-name", f"notebake-{machine.name}"),
        *("-smp", str(machine.cpus), "-m", str(machine.memory_mib)),
        *("-chardev", f"file,id=console,path={_path(machine.console)}", "-serial", "chardev:console"),
        *("-chardev", f"socket,id=qmp,path={_path(folder / _QMP)},server=on,wait=off"),
        *("-mon", "chardev=qmp,mode=control"),
        *(
            "-drive",
            f"file={_path(folder / 'disk.qcow2')},if=virtio,format=qcow2,discard=unmap,detect-zeroes=unmap",
        ),
        *("-drive", f"file={_path(folder / 'seed.iso')},if=virtio,format=raw,readonly=on"),
        *("-netdev", ",".join(network)),
        *("-device", "virtio-net-pci,netdev=net,romfile="),
        *("-device", "virtio-rng-pci"),
    ]


def shutdown(machine: Machine, seconds: float) -> bool:
    """Press the machine's power button through QMP; return whether it shut down within `seconds`."""
    assert machine.process is not None
    with contextlib.suppress(OSError, ValueError):
        _qmp(machine.folder / _QMP, "system_powerdown")
        return machine.process.wait(seconds)
    return not machine.alive()


def _path(path: Path) -> str:
    return str(path).replace(",", ",,")


def _disks(request: Request, folder: Path) -> None:
    assert request.disk is not None
    overlay = folder / "disk.qcow2"
    try:
        (folder / "seed.iso").write_bytes(seed.iso(request.seed))
        (folder / "seed.iso").chmod(0o600)
        info = process.run(["qemu-img", "info", "--output=json", request.disk], timeout=60).stdout
        size = max(int(json.loads(info)["virtual-size"]), request.disk_gib * 1024**3)
        base = folder / "base.qcow2"
        _keep(request.disk.resolve(), base)
        argv: list[str | Path] = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", base]
        process.run([*argv, overlay, str(size)], timeout=60)
    except MissingTool:
        raise
    except NotebakeError as error:
        raise CommandFailed(
            f"{folder}: the machine's disk cannot be made: {error.message}", error.hint
        ) from None
    except OSError as error:
        raise CommandFailed(f"{folder}: cannot be written: {error.strerror}", "is the disk full?") from None


def _keep(disk: Path, base: Path) -> None:
    """Keep the base for as long as the machine: the next bake replaces the image, a cache may be emptied."""
    try:
        base.hardlink_to(disk)
    except OSError:  # another filesystem, or a file of another user's
        shutil.copyfile(disk, base)


def _listening(child: pids.Process, path: Path) -> bool:
    """Return whether QEMU's monitor answers within 30 seconds: by then QEMU holds every port."""
    for _ in range(300):
        if not child.alive():
            return False
        with contextlib.suppress(OSError, ValueError):
            _qmp(path, "query-status")
            return True
        time.sleep(0.1)
    return False


def _qmp(path: Path, command: str) -> None:
    """Run one command on QEMU's monitor; raises OSError or ValueError if it fails."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(path))
        with connection.makefile("rwb") as stream:
            json.loads(stream.readline())
            for name in ("qmp_capabilities", command):
                stream.write(json.dumps({"execute": name}).encode() + b"\n")
                stream.flush()
                while "return" not in (answer := json.loads(stream.readline())):
                    if "error" in answer:  # anything else is an event
                        raise ValueError(answer["error"])
