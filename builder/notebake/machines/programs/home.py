"""Pack or unpack what the notebook's user keeps on a Linux machine. Run as root; works as that user.

`home.py backup` writes a gzipped tar to standard output and, as the last line of standard error, facts about
it (JSON). `home.py restore LAYER` reads such a tar from standard input and prints facts on standard output.
The members are below `notebooks/` (the notebooks' folder, wherever it is) and `home/` (the rest of the home).
"""

from __future__ import annotations

import fnmatch
import gzip
import io
import json
import os
import platform
import pwd
import shutil
import stat
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

GUEST = Path("/opt/notebake/guest")
ENVIRONMENT = Path("/opt/notebake/env")
STAGE = ".notebake-restore"
LAYER = ".venv"
BLOCK = 1 << 16
# Made by the machine itself, or of no use on another one. The layer is completed when a kernel starts.
SKIPPED = (
    ".cache",
    ".local/share/Trash",
    ".local/share/jupyter/nbsignatures.db*",  # a server that has it open would fail
    ".local/share/jupyter/runtime",
    ".ipython/profile_*/pid",
    ".ipython/profile_*/security",
    f"{LAYER}/bin/pip",
    f"{LAYER}/bin/pip3",
    f"{LAYER}/bin/python",
    f"{LAYER}/bin/python3",
    f"{LAYER}/bin/python3.[0-9]*",
    f"{LAYER}/bin/\U0001d70bthon",
    f"{LAYER}/lib64",
    f"{LAYER}/lib/python3.*/site-packages/notebake.pth",
    f"{LAYER}/pyvenv.cfg",
    STAGE,
)
SHOWN = 20  # names of what was left out


class Refused(Exception):
    """The tar or the home is not as it must be; the message says why."""


def layer(home: Path) -> str:
    """Return what the user's packages depend on, in words: the system, Python, the processor, the folder."""
    system = platform.freedesktop_os_release()
    python = next(iter(sorted(path.name for path in ENVIRONMENT.glob("lib/python3*"))), "no Python")
    return f"{system['ID']} {system.get('VERSION_ID', '')}, {python}, {platform.machine()}, {home / LAYER}"


def roots(home: Path, notebooks: Path) -> dict[str, Path]:
    """Return the folders of the tar's members. A link in place of the notebooks' is part of the home."""
    home = Path(os.path.realpath(home))
    places = {"home": home}
    if not notebooks.is_symlink():
        places["notebooks"] = Path(os.path.realpath(notebooks))
    return places


def is_inside(path: Path, places: dict[str, Path]) -> bool:
    """Return whether `path`, with all links followed, is in one of the folders."""
    real = os.path.realpath(path)
    return any(real == str(place) or real.startswith(f"{place}/") for place in places.values())


def walk(
    folder: Path, name: str, skipped: tuple[str, ...], excluded: list[Path]
) -> Iterator[tuple[str, Path]]:
    """Yield the member's name and the path of everything below `folder`; a folder before what is in it."""
    pending = [folder]
    while pending:
        current = pending.pop()
        try:
            entries = sorted(os.scandir(current), key=lambda entry: entry.name)
        except (FileNotFoundError, PermissionError):
            continue  # `add` said so
        for entry in entries:
            path = Path(entry.path)
            below = path.relative_to(folder).as_posix()
            if path in excluded or any(fnmatch.fnmatchcase(below, pattern) for pattern in skipped):
                continue
            yield f"{name}/{below}", path
            if entry.is_dir(follow_symlinks=False):
                pending.append(path)


class Exactly(io.RawIOBase):
    """A file that others may cut while it is read: what is missing is read as zeros."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file

    def read(self, size: int = -1) -> bytes:
        """Return `size` bytes."""
        return self.file.read(size).ljust(size, b"\0")


def add(tar: tarfile.TarFile, name: str, path: Path, places: dict[str, Path]) -> str | None:
    """Add one file, folder or link to the tar; return why it is left out, if it is."""
    info = tarfile.TarInfo(name)
    status = path.lstat()
    info.mode, info.mtime = status.st_mode & 0o777, int(status.st_mtime)
    if stat.S_ISDIR(status.st_mode):
        info.type = tarfile.DIRTYPE
        os.scandir(path).close()  # PermissionError for one that cannot be read
        tar.addfile(info)
    elif stat.S_ISLNK(status.st_mode):
        if not is_inside(path, places):
            return "a link that leads outside"
        target = path.readlink()
        info.type, info.linkname = tarfile.SYMTYPE, str(target)
        if target.is_absolute():
            info.linkname = os.path.relpath(os.path.realpath(path), path.parent)
        tar.addfile(info)
    elif stat.S_ISREG(status.st_mode):
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            info.size = os.fstat(file.fileno()).st_size
            tar.addfile(info, Exactly(file))
    else:
        return "no file"
    return None


def pack(places: dict[str, Path], skipped: tuple[str, ...], output: IO[bytes]) -> dict[str, Any]:
    """Write the gzipped tar; return the number of members, and what was left out and why."""
    members, left_out = 0, []
    with (
        gzip.GzipFile(fileobj=output, mode="wb", compresslevel=3, mtime=0, filename="") as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        for root, folder in places.items():
            if not folder.is_dir() or (root == "notebooks" and folder == places["home"]):
                continue
            others = [place for place in places.values() if place != folder]
            for name, path in walk(folder, root, skipped if root == "home" else (STAGE,), others):
                try:
                    why = add(tar, name, path, places)
                except FileNotFoundError:
                    continue  # deleted meanwhile
                except PermissionError:
                    why = "the notebook's user may not read it"
                if why is None:
                    members += 1
                else:
                    left_out.append(f"{name[:200]!a}: {why}")
    return {"members": members, "left_out": left_out[:SHOWN], "left_out_in_all": len(left_out)}


def destination(info: tarfile.TarInfo, places: dict[str, Path]) -> Path:
    """Return where a member belongs. Raises Refused for a place outside, and for what is no file."""
    parts = info.name.split("/")
    if parts[0] not in places or len(parts) < 2 or {"", ".", ".."} & set(parts):
        raise Refused(f"{info.name!a}: not a name in the home")
    if not (info.isreg() or info.isdir() or info.issym()):
        raise Refused(f"{info.name!a}: no file, folder or symbolic link")
    path = places[parts[0]].joinpath(*parts[1:])
    if not is_inside(path.parent, places):
        raise Refused(f"{info.name!a}: its folder is a link that leads outside the home")
    if info.issym() and not is_inside(Path(os.path.normpath(path.parent / info.linkname)), places):
        raise Refused(f"{info.name!a}: a link that leads outside the home")
    return path


def check_free(path: Path, info: tarfile.TarInfo) -> None:
    """Raise Refused if the user may not write there, or has a file for a folder or a folder for a file."""
    parent = next(parent for parent in path.parents if parent.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise Refused(f"{info.name!a}: the notebook's user cannot write into {parent}")
    if info.isdir():
        wrong = path.is_symlink() or (path.exists() and not path.is_dir())
    else:
        wrong = path.is_dir() and not path.is_symlink()
    if wrong:
        raise Refused(f"{info.name!a}: on the machine there is something else of this name")


def unpack(stream: IO[bytes], places: dict[str, Path], with_layer: bool) -> dict[str, Any]:
    """Put the files of the gzipped tar into their places; nothing changes before all have arrived.

    Return the number of members and whether it has a layer. Raises Refused, OSError, EOFError.
    """
    if "notebooks" not in places:
        raise Refused("the notebooks' folder is a link: remove it")
    stages = {root: place / STAGE for root, place in places.items()}
    has_layer, members = False, 0
    files: list[tuple[tarfile.TarInfo, Path, Path]] = []
    others: list[tuple[tarfile.TarInfo, Path]] = []
    try:
        for stage in stages.values():
            shutil.rmtree(stage, ignore_errors=True)
            stage.mkdir(mode=0o700, parents=True)
        with gzip.GzipFile(fileobj=stream) as packed:
            with tarfile.open(fileobj=packed, mode="r|") as tar:
                for info in tar:
                    path = destination(info, places)
                    if f"{info.name}/".startswith(f"home/{LAYER}/"):
                        has_layer = has_layer or "/site-packages/" in info.name
                        if not with_layer:
                            continue
                    members += 1
                    check_free(path, info)
                    if not info.isreg():
                        others.append((info, path))
                        continue
                    staged = stages[info.name.split("/")[0]] / str(members)
                    source = tar.extractfile(info)
                    assert source is not None
                    with open(staged, "xb") as file:
                        shutil.copyfileobj(source, file, BLOCK)
                    files.append((info, staged, path))
            while packed.read(BLOCK):  # to the end, where the checksum is
                pass
        place(files, others, places)
    finally:
        for stage in stages.values():
            shutil.rmtree(stage, ignore_errors=True)
    return {"members": members, "layer": has_layer}


def place(
    files: list[tuple[tarfile.TarInfo, Path, Path]],
    others: list[tuple[tarfile.TarInfo, Path]],
    places: dict[str, Path],
) -> None:
    """Rename the staged files to their places; make folders before, and links after them."""
    new = [(info, path) for info, path in others if info.isdir() and not path.exists()]
    for _, path in new:
        path.mkdir(parents=True, exist_ok=True)
    for info, staged, path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        staged.chmod(info.mode & 0o777)
        os.utime(staged, (info.mtime, info.mtime))
        staged.replace(path)
    links = [(info, path) for info, path in others if info.issym()]
    for info, path in links:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to(info.linkname)
    for info, path in links:
        # Only now that all are there it is known where they lead.
        if not is_inside(path, places):
            path.unlink()
            raise Refused(f"{info.name!a}: a link that leads outside the home")
    for info, path in reversed(new):
        path.chmod(info.mode & 0o777)


def become(name: str) -> Path:
    """Become the user `name` for good; return its home."""
    account = pwd.getpwnam(name)
    os.initgroups(account.pw_name, account.pw_gid)
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    os.umask(0o022)
    os.chdir(account.pw_dir)
    return Path(account.pw_dir)


def main() -> None:
    """Do what the first argument says. SystemExit with one line for what a person can understand."""
    try:
        config = json.loads((GUEST / "config.json").read_text("utf-8"))
        home = become(config["user"])
        here = layer(home)
        places = roots(home, home / config["folder"])
        if sys.argv[1] == "backup":
            profile = f".ipython/profile_{config['profile']}/ipython_kernel_config.py"
            facts = pack(places, (*SKIPPED, profile), sys.stdout.buffer)
            sys.stdout.flush()
            print(json.dumps({**facts, "layer": here}), file=sys.stderr)
        else:
            facts = unpack(sys.stdin.buffer, places, sys.argv[2] == here)
            print(json.dumps({**facts, "here": here}))
    except FileNotFoundError as error:
        sys.exit(f"{error.filename}: no such file: is it a notebook machine?")
    except (Refused, EOFError, tarfile.TarError, gzip.BadGzipFile) as error:
        sys.exit(str(error) or "the data ended early")
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        sys.exit(f"{where}{error.strerror or error}")


if __name__ == "__main__":
    main()
