"""Reserve what is unique on this host for a new machine: its name, with a folder and an ssh key."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from notebake import documents, files, paths, ssh
from notebake.errors import NotebakeError, SpecError
from notebake.machines import machine as record
from notebake.machines import pids, platforms

_OWNER = "owner"  # the process of the launch at work in a folder that has no record yet


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A reserved machine: its name, its folder, the public key line for its seed's user."""

    name: str
    folder: Path
    public_key: str


def prepare(target: str, name: str | None = None, taken: Collection[str] = ()) -> Prepared:
    """Reserve a name (`target`-1, -2 ... not in `taken`, when None), make the machine's folder and ssh key.

    Follow with `launch` or `discard`. Raises SpecError for a bad or used name, CommandFailed for a state
    folder that cannot be written.
    """
    with lock():
        _sweep()
        if name is None:
            stem = "".join(each if each.isalnum() else "-" for each in target.lower())[:36]
            possible = (f"{stem}-{number}" for number in range(1, 10_000))
            name = next(each for each in possible if each not in taken and not record.folder(each).exists())
        folder = record.folder(name)
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            if (folder / record.PLANNED).exists():
                raise SpecError(
                    f"name: {name} is being made by another launch, or was left by an interrupted one",
                    "use another name; what was left is removed by the first launch after it answers",
                ) from None
            raise SpecError(
                f"name: a machine {name} exists", f"delete it (notebake delete {name}) or use another name"
            ) from None
        except OSError as error:
            raise files.unwritable(folder, error) from None
        try:
            me = pids.identify(os.getpid())
            assert me is not None
            (folder / _OWNER).write_text(json.dumps(dataclasses.asdict(me)), encoding="ascii")
            return Prepared(name=name, folder=folder, public_key=ssh.new_key(folder / record.KEY))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def discard(name: str) -> None:
    """Undo a `prepare` that no `launch` followed; do nothing if there is a machine or no folder.

    What cannot be removed now, since its daemon is away, the next launch removes.
    """
    folder = record.folder(name)
    if (folder / record.RECORD).exists():
        return
    with suppress(NotebakeError):
        if (folder / record.PLANNED).exists():
            platforms.delete(record.load(name, record.PLANNED))
        shutil.rmtree(folder, ignore_errors=True)


def lock() -> FileLock:
    """Return the lock: one launch at a time chooses names, ports and networks."""
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
            owner = pids.Process(**documents.load_json(folder / _OWNER))
        except (OSError, ValueError, TypeError):
            continue  # just being made, or not ours
        if not owner.alive():
            discard(folder.name)
