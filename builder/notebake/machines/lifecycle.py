"""Launch, list, stop, start and delete machines on this host; wait until their notebook answers.

prepared = reserve.prepare("debian-13")            # a name, a folder, an ssh key for the seed
machine = lifecycle.launch(Request(name=prepared.name, ...), steps=Steps())
lifecycle.stop(name); lifecycle.start(name, steps=Steps()); lifecycle.delete(name)
lifecycle.machines(); lifecycle.find(["class-*"]); machine.ssh.argv()
"""

from __future__ import annotations

import dataclasses
import fnmatch
import shutil
from collections.abc import Iterable
from contextlib import nullcontext, suppress
from pathlib import Path

from notebake import files, paths
from notebake.errors import NotebakeError, SpecError
from notebake.machines import adopted, aws, console, incus_create, platforms, qemu
from notebake.machines import machine as record
from notebake.machines.machine import Machine
from notebake.machines.request import Request
from notebake.machines.reserve import discard, lock
from notebake.machines.wait import LIMIT, Watch
from notebake.progress import Steps

STOP_SECONDS = 30.0


def launch(request: Request, *, steps: Steps, watch: type[Watch] = Watch) -> Machine:
    """Make and boot the machine that `reserve.prepare` reserved and wait until its notebook answers.

    Return its record with the pinned fingerprint. `watch` does the waiting. Raises SpecError, MissingTool,
    CommandFailed, NotReady or KeyboardInterrupt. After a failure nothing is left but the console's log,
    unless sshd had answered: then the machine is kept, for a look.
    """
    folder = record.folder(request.name)
    if not (folder / record.KEY).is_file() or (folder / record.RECORD).exists():
        raise SpecError(f"name: {request.name} was not prepared", "call reserve.prepare first")
    if request.source != "user-data" and request.sha256 is None and request.place is None:
        try:
            request = dataclasses.replace(request, sha256=files.sha256(Path(request.source)))
        except OSError as error:
            raise SpecError(
                f"{request.source}: cannot be read: {error.strerror}", "check the image's path"
            ) from None
    try:
        machine = _start(request, folder, steps)
    except BaseException as error:
        discard(request.name)
        if folder.exists() and isinstance(error, NotebakeError):
            error.hint = f"{error.hint}; the next launch removes what is left of {request.name}"
        raise
    waiting = watch(machine, steps=steps, limit=request.limit, secrets=request.secrets)
    try:
        return waiting.run()
    except BaseException as error:
        _after_failure(machine, waiting.up, error, steps)
        raise


def _start(request: Request, folder: Path, steps: Steps) -> Machine:
    """Make the machine and boot it; return its saved record."""
    if request.platform == "incus":
        prepared = incus_create.prepare(request, steps)
        with steps.step("machine started"):
            machine = record.save(incus_create.start(request, folder, prepared, lock()))
            (folder / record.PLANNED).unlink()
            return machine
    if request.platform == "aws":
        with steps.step("machine started"):
            machine = record.save(aws.start(request, folder, lock()))
            (folder / record.PLANNED).unlink()
            return machine
    with steps.step("machine started"), lock():
        machine = qemu.start(request, folder)
        try:
            return record.save(machine)
        except BaseException:
            platforms.end(machine)
            raise


def start(name: str, *, steps: Steps, limit: float = LIMIT, watch: type[Watch] = Watch) -> Machine:
    """Boot the machine again unless it runs, and wait until its notebook answers.

    It keeps its name, address, certificate and disk; the fingerprint is pinned from the console of this
    boot. Raises SpecError when there is no such machine, else as `launch`; the machine is always kept.
    """
    with lock():
        machine = record.load(name)
        if machine.platform == "adopted":
            adopted.boot(machine)
        if not platforms.look(machine):
            with steps.step("machine started"):
                _put_console_away(machine)
                machine = platforms.BY_NAME[machine.platform].boot(machine)
        machine = record.save(dataclasses.replace(machine, failed=False))
    try:
        return watch(machine, steps=steps, limit=limit).run()
    except BaseException:
        _mark_failed(machine)
        raise


def machines() -> list[Machine]:
    """Return all machines, running or not, sorted by name."""
    return record.every()


def is_pattern(name: str) -> bool:
    """Return whether it is a shell pattern, such as `class-*`."""
    return any(char in name for char in "*?[")


def find(patterns: Iterable[str]) -> list[Machine]:
    """Return the machines with these names or shell patterns (`class-*`), each once, sorted by name.

    Raises SpecError for one that matches no machine.
    """
    known = machines()
    names: set[str] = set()
    for pattern in patterns:
        if is_pattern(pattern):
            matching = fnmatch.filter([each.name for each in known], pattern)
        else:
            matching = [record.load(pattern).name]
        if not matching:
            listed = ", ".join(each.name for each in known) or "none"
            raise SpecError(f"{pattern}: no machine has such a name", f"machines: {listed}")
        names.update(matching)
    return [each for each in known if each.name in names]


def stop(name: str, *, seconds: float = STOP_SECONDS) -> bool:
    """Shut the machine down; kill it when it is not down in `seconds`. Its disk and addresses are kept.

    Whether it went down by itself. Raises SpecError when there is no such machine, CommandFailed when
    it cannot be ended.
    """
    machine = record.load(name)
    clean: bool = not platforms.look(machine) or platforms.BY_NAME[machine.platform].shutdown(
        machine, seconds
    )
    with lock() if machine.cloud is None else nullcontext():
        platforms.end(machine)
        record.save(dataclasses.replace(machine, process=None, failed=False))
    return clean


def delete(name: str) -> None:
    """Kill the machine and remove all of it, with its disk. Raises SpecError or CommandFailed."""
    machine = record.load(name)
    # A cloud and Incus take long, and keep nothing on this host that another launch could take meanwhile.
    with nullcontext() if machine.cloud or machine.instance else lock():
        platforms.delete(machine)
        (machine.folder / record.RECORD).unlink(missing_ok=True)
    # Without the lock: it takes long. What an interrupt leaves is swept by the next launch.
    record.delete(name)


def token(machine: Machine) -> str | None:
    """Return the one-time token from the console, or None for a machine with a password."""
    if machine.has_password:
        return None
    found = console.token(console.read(machine.console))
    kept = machine.folder / record.TOKEN
    return kept.read_text(encoding="ascii") if found is None and kept.exists() else found


def _put_console_away(machine: Machine) -> None:
    """Move the console log away before a new boot, whose fingerprint is to be pinned; keep the token."""
    if (found := console.token(console.read(machine.console))) is not None:
        files.write_whole(machine.folder / record.TOKEN, found.encode(), 0o600)
    with suppress(FileNotFoundError):
        machine.console.replace(machine.folder / record.PREVIOUS_CONSOLE)


def _after_failure(machine: Machine, up: bool, error: BaseException, steps: Steps) -> None:
    if _is_to_be_kept(machine, up):
        _mark_failed(machine)
        look = f"{machine.name} is kept: notebake logs|ssh|start|delete {machine.name}"
        if isinstance(error, NotebakeError):
            error.hint = look if error.hint is None else f"{error.hint}; {look}"
        else:
            steps.note(look)
        return
    hint = "nothing of it is left"
    kept = paths.state_folder() / "failed" / f"{machine.name}.log"
    with suppress(OSError):
        kept.parent.mkdir(mode=0o700, exist_ok=True)
        shutil.copyfile(machine.console, kept)
        kept.chmod(0o600)
        hint += f"; the whole console log is {kept}"
    if isinstance(error, NotebakeError):
        error.hint = hint
    with lock() if machine.cloud is None else nullcontext():
        platforms.delete(machine)
        record.delete(machine.name)


def _is_to_be_kept(machine: Machine, up: bool) -> bool:
    """Return whether a user can look into it, or it cannot be removed now: its daemon is away."""
    try:
        return platforms.look(machine) and up
    except NotebakeError:
        return True


def _mark_failed(machine: Machine) -> None:
    """Record that its notebook did not answer, unless it was stopped or deleted meanwhile."""
    with lock(), suppress(SpecError):
        current = record.load(machine.name)
        if current.process == machine.process:
            record.save(dataclasses.replace(current, failed=True))
