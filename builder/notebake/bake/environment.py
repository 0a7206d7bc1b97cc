"""The Python environment of an image, built on the host in the base image's root file system.

The provisioning code itself builds it, in a chroot at the host's speed; the machine under Packer unpacks it.
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

ARCHIVE = "environment.tar.zst"  # the name that scripts/install.sh requests
_SECONDS = 900
# Mounts in a namespace of their own: nothing stays mounted, whatever happens.
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
    """Return the cache folder of the environment of `plan`, named by its inputs: lock, base, building code."""
    total = hashlib.sha256(base.base_id(plan).encode())
    for item in payload.files:
        if item.path in ("environment.py", "machine.py", "requirements.txt", "ca.pem"):
            total.update(f"{item.path}\0{len(item.data)}\0".encode() + item.data)
    return paths.cache_folder() / "environments" / f"{plan.target.name}-{total.hexdigest()[:12]}"


def make(plan: Plan, payload: Payload, root: Path, wheelhouse: Path, log: Path) -> Path:
    """Return the folder with ARCHIVE, the content of the image's /opt/notebake, building it if needed.

    The folder is complete or absent. `root` is the base's root file system as a tar. Needs root.
    Raises MissingTool or CommandFailed.
    """
    cached = folder(plan, payload)
    if cached.is_dir():
        return cached
    cached.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cached.parent, prefix=f".{cached.name}.") as scratch:
        tree, result = Path(scratch, "root"), Path(scratch, "result")
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
        result.mkdir()
        options = ("--exclude=./guest", "--numeric-owner", "--sort=name", "-I", "zstd -T0 -6")
        process.run(["tar", "-C", home, *options, "-cf", result / ARCHIVE, "."], timeout=_SECONDS, log=log)
        result.rename(cached)
    return cached
