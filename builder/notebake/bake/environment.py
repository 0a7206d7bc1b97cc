"""The notebook's environment for an image, made in the base's own root on this computer.

The guest's own code makes it, in a chroot at this computer's speed; the machine under Packer unpacks it.
Emulated, the same work is most of a bake.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from notebake import paths, process
from notebake.bases import base
from notebake.files import write_folder
from notebake.machines import rootfs
from notebake.plan.plan import Plan
from notebake.provision.files import Payload

ARCHIVE = "environment.tar.zst"  # the name that scripts/install.sh asks for
_SECONDS = 900
# Mounts of a namespace of their own: nothing stays mounted, whatever happens.
_CHROOT = """\
mount --rbind /dev "$1/dev"
mount -t proc proc "$1/proc"
exec chroot "$@"
"""
_MAKE = """\
import json, sys
sys.path.insert(0, "/opt/notebake/guest")
from environment import environment
with open("/opt/notebake/guest/config.json") as file:
    environment(json.load(file), bake=True)
"""


def folder(plan: Plan, payload: Payload) -> Path:
    """Where the environment of `plan` is kept, by what it is made from: lock, base, the code that makes it."""
    total = hashlib.sha256(base.base_id(plan).encode())
    for item in payload.files:
        if item.path in ("environment.py", "machine.py", "requirements.txt", "ca.pem"):
            total.update(f"{item.path}\0{len(item.data)}\0".encode() + item.data)
    return paths.cache_folder() / "environments" / f"{plan.target.name}-{total.hexdigest()[:12]}"


def make(plan: Plan, payload: Payload, root: Path, wheelhouse: Path, log: Path) -> Path:
    """The folder with ARCHIVE, what belongs into the image's /opt/notebake; made whole or not at all.

    `root` is the base's root as a tar. Needs root. Raises MissingTool or CommandFailed.
    """
    place = folder(plan, payload)
    if place.is_dir():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=f".{place.name}.") as scratch:
        tree, made = Path(scratch, "root"), Path(scratch, "made")
        rootfs.unpack(root, tree)
        home = tree / "opt/notebake"
        home.mkdir(parents=True)
        write_folder(home / "guest", payload.files)
        shutil.copytree(wheelhouse, tree / "wheels", copy_function=os.link)
        program = ("/usr/bin/env", "NOTEBAKE_WHEELHOUSE=file:///wheels", plan.target.python.interpreter)
        argv: list[str | Path] = [
            "unshare",
            "--mount",
            "sh",
            "-euc",
            _CHROOT,
            "sh",
            tree,
            *program,
            "-c",
            _MAKE,
        ]
        process.run(argv, timeout=_SECONDS, log=log)
        made.mkdir()
        options = ("--exclude=./guest", "--numeric-owner", "--sort=name", "-I", "zstd -T0 -6")
        process.run(["tar", "-C", home, *options, "-cf", made / ARCHIVE, "."], timeout=_SECONDS, log=log)
        made.rename(place)
    return place
