"""Starts machines on this host, watches them until the notebook answers, lists and stops them.

prepared = lifecycle.prepare("debian-13")          # a name, a folder, an ssh key for the seed
machine = lifecycle.start(Request(name=prepared.name, ...), steps=Steps())
lifecycle.machines(); lifecycle.logs(name); machine.ssh.argv(); lifecycle.stop(name)
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from notebake import files, paths, ssh
from notebake.errors import CommandFailed, NotebakeError, SpecError
from notebake.machines import console, nspawn, pids, qemu
from notebake.machines import machine as record
from notebake.machines.machine import Machine
from notebake.machines.request import Request
from notebake.machines.wait import Watch
from notebake.progress import Steps

STOP_SECONDS = 30.0

_OWNER = "owner"  # pid and start time of the launch at work in a folder that has no record yet


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A machine to be: its name, its folder, the public key line for its seed's user."""

    name: str
    folder: Path
    public_key: str


def prepare(target: str, name: str | None = None) -> Prepared:
    """Reserve a name (`target`-1, -2 ... when None), make the machine's folder and its ssh key.

    Follow with `start` or `discard`. Raises SpecError for a bad or used name, CommandFailed for a state
    folder that cannot be written.
    """
    with _lock():
        _sweep()
        if name is None:
            stem = "".join(each if each.isalnum() else "-" for each in target.lower())[:36]
            taken = range(1, 10_000)
            name = next(each for n in taken if not record.folder(each := f"{stem}-{n}").exists())
        folder = record.folder(name)
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            raise SpecError(
                f"name: a machine {name} exists", f"stop it (notebake stop {name}) or use another name"
            ) from None
        except OSError as error:
            raise files.unwritable(folder, error) from None
        try:
            me = pids.identify(os.getpid())
            assert me is not None
            (folder / _OWNER).write_text(f"{me.pid} {me.started}\n", encoding="ascii")
            return Prepared(name=name, folder=folder, public_key=ssh.new_key(folder / record.KEY))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def discard(name: str) -> None:
    """Take back a `prepare` that no `start` followed; silent when there is nothing or a machine."""
    folder = record.folder(name)
    if not (folder / record.RECORD).exists():
        shutil.rmtree(folder, ignore_errors=True)


def start(request: Request, *, steps: Steps, watch: type[Watch] = Watch) -> Machine:
    """Start the machine that `prepare` reserved and wait until its notebook answers.

    Return its record with the pinned fingerprint. `watch` does the waiting. Raises SpecError, MissingTool, CommandFailed, NotReady
    or KeyboardInterrupt. After a failure nothing is left but the console's log, unless sshd had answered:
    then the machine is kept, for a look.
    """
    folder = record.folder(request.name)
    if not (folder / record.KEY).is_file() or (folder / record.RECORD).exists():
        raise SpecError(f"name: {request.name} was not prepared", "call prepare first")
    if request.source != "user-data" and request.sha256 is None:
        try:
            request = dataclasses.replace(request, sha256=files.sha256(Path(request.source)))
        except OSError as error:
            raise SpecError(
                f"{request.source}: cannot be read: {error.strerror}", "check the image's path"
            ) from None
    try:
        with steps.step("machine started"):
            if request.platform == "nspawn":
                nspawn.unpack(request, folder)
            with _lock():
                machine = (nspawn if request.platform == "nspawn" else qemu).start(request, folder)
                try:
                    record.save(machine)
                except BaseException:
                    _dismantle(machine)
                    raise
    except BaseException:
        record.delete(request.name)
        raise
    waiting = watch(machine, steps=steps, limit=request.limit, secrets=request.secrets)
    try:
        return waiting.run()
    except BaseException as error:
        _after_failure(machine, waiting.up, error, steps)
        raise


def machines() -> list[Machine]:
    """All machines, running or not, sorted by name."""
    return record.every()


def stop(name: str, *, seconds: float = STOP_SECONDS) -> bool:
    """Shut the machine down, kill it when it is not down in `seconds`, remove all of it.

    Whether it went down by itself. Raises SpecError when there is no such machine, CommandFailed when
    something of it cannot be removed.
    """
    machine = record.load(name)
    clean: bool = (nspawn if machine.platform == "nspawn" else qemu).shutdown(machine, seconds)
    _dismantle(machine)
    record.delete(name)
    return clean


def logs(name: str) -> Path:
    """The console log of the machine; raises SpecError when there is no such machine."""
    return record.load(name).console


def token(machine: Machine) -> str | None:
    """The one-time token that the console showed, or None for a machine with a password."""
    return console.token(console.read(machine.console))


def _after_failure(machine: Machine, up: bool, error: BaseException, steps: Steps) -> None:
    if up and machine.alive():
        look = f"{machine.name} is kept: notebake logs|ssh|stop {machine.name}"
        if isinstance(error, NotebakeError):
            error.hint = look if error.hint is None else f"{error.hint}; {look}"
        else:
            steps.note(look)
        return
    kept = paths.state_folder() / "failed" / f"{machine.name}.log"
    with suppress(OSError):
        kept.parent.mkdir(mode=0o700, exist_ok=True)
        shutil.copyfile(machine.console, kept)
        kept.chmod(0o600)
        if isinstance(error, NotebakeError):
            error.hint = f"nothing of it is left; the whole console log is {kept}"
    _dismantle(machine)
    record.delete(machine.name)


def _dismantle(machine: Machine) -> None:
    """End the process and take away what it has on the host, all but its folder."""
    if not machine.process.kill():
        raise CommandFailed(
            f"{machine.name}: process {machine.process.pid} cannot be ended",
            "run this as the user who launched it",
        )
    if machine.platform == "nspawn":
        nspawn.remove(machine)


def _lock() -> FileLock:
    """One launch at a time chooses names, ports and subnets."""
    state = paths.state_folder()
    try:
        (state / "machines").mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise files.unwritable(state, error) from None
    return FileLock(state / "lock")


def _sweep() -> None:
    """Remove the folders of launches that were killed before their machine had a record."""
    for folder in (paths.state_folder() / "machines").iterdir():
        if (folder / record.RECORD).exists():
            continue
        try:
            pid, started = map(int, (folder / _OWNER).read_text(encoding="ascii").split())
        except (OSError, ValueError):
            continue  # just being made, or not ours
        if not pids.Process(pid=pid, started=started).alive():
            shutil.rmtree(folder, ignore_errors=True)
