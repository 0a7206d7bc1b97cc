"""Import what a machine starts from into Incus, once for each content: a root file system or a disk.

An image of Incus is a metadata tar and a root: a tar for containers, a qcow2 for virtual machines.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from filelock import FileLock

from notebake import files, incus_metadata, paths
from notebake.errors import CommandFailed, MissingTool, NotebakeError, SpecError
from notebake.machines import incus_client, rootfs
from notebake.machines.incus_client import Server
from notebake.machines.request import Request
from notebake.progress import Steps

_SECONDS = 1800.0
_CONTENT = "notebake.content"  # a property of the image
_PREFIX = ".incus-"


def metadata(target: str) -> bytes:
    """Return the metadata tar of an image: same target, same bytes."""
    return incus_metadata.tar({"description": f"notebake: {target}", "notebake": target}, 1)


def ensure(request: Request, server: Server, steps: Steps) -> str:
    """Return the fingerprint of the image of the request's root or disk; import it if it is not there.

    Raises SpecError, MissingTool or CommandFailed.
    """
    source = request.root or request.disk
    if source is None:
        raise SpecError("platform incus: needs a root file system or an image", "give one of them")
    try:
        facts = source.stat()
        digest = request.sha256 or _digest(source, facts.st_size, facts.st_mtime_ns)
    except OSError as error:
        raise SpecError(f"{source}: {error.strerror}", "bake it first: notebake bake") from None
    described = metadata(request.target)
    kind = "virtual-machine" if request.vm else "container"
    content = hashlib.sha256(f"{digest} {kind} ".encode() + described).hexdigest()
    try:
        # One at a time: of many machines that start at once, the first imports.
        with FileLock(paths.cache_folder() / "incus.lock"):
            found = _fingerprint(server, content)
            if found is None:
                with steps.step("image imported into Incus"):
                    _import(request, source, described, server, content)
                found = _fingerprint(server, content)
    except OSError as error:
        raise files.unwritable(paths.cache_folder(), error) from None
    if found is None:
        raise CommandFailed("Incus: the image was deleted while it was imported", "launch again")
    return found


@functools.lru_cache
def _digest(path: Path, size: int, changed: int) -> str:
    return files.sha256(path)


def _fingerprint(server: Server, content: str) -> str | None:
    # By a property and not by an alias, which the client adds only when the image is there.
    images = incus_client.query("/images", remote=server.remote, project=server.project, more="recursion=1")
    found = (each["fingerprint"] for each in images or () if each["properties"].get(_CONTENT) == content)
    return next(found, None)


def _import(request: Request, source: Path, described: bytes, server: Server, content: str) -> None:
    for left in paths.cache_folder().glob(f"{_PREFIX}*"):  # by a launch that was killed
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(dir=paths.cache_folder(), prefix=_PREFIX) as name:
        folder = Path(name)
        (folder / "metadata.tar").write_bytes(described)
        root = source if request.vm or request.root else _packed(source, folder)
        argv: list[str | Path] = ["image", "import", folder / "metadata.tar", root, server.at("")]
        incus_client.call(
            [*argv, f"{_CONTENT}={content}"], remote=server.remote, project=server.project, seconds=_SECONDS
        )


def _packed(disk: Path, folder: Path) -> Path:
    """Return a tar of the root file system in a qcow2 disk."""
    if os.geteuid() != 0:
        raise MissingTool(
            f"{disk}: only root can make a container of it, since its files have other owners",
            "use sudo for the first launch from this image",
        )
    packed = folder / "root.tar.zst"
    try:
        with rootfs.root_of(disk, folder) as root:
            rootfs.pack(root, packed)
    except SpecError:
        raise
    except NotebakeError as error:
        raise type(error)(f"{disk}: cannot be made a container: {error.message}", error.hint) from None
    return packed
