"""The Python environment of an image, built on the host in the base image's root filesystem.

The provisioning code itself builds it, in a chroot at the host's speed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import tempfile
from pathlib import Path

from notebake import paths, process
from notebake.bake import chroot
from notebake.bases import base, mmdebstrap
from notebake.files import rename_once, write_folder
from notebake.plan.plan import Plan
from notebake.provision.files import Payload

ARCHIVE = "environment.tar.zst"
_SECONDS = 900
# Nothing of the host goes into it: neither its settings nor its clock. 2020-01-01, UTC.
_MTIME = 1577836800
_SETTINGS = {"PYTHONHASHSEED": "0", "NOTEBAKE_WHEELHOUSE": "file:///wheels"}
# Bytecode depends on what its process compiled before: hence one process for each package. A package may
# contain a file that is not for this Python.
_MAKE = """\
import json, os, subprocess, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
sys.path.insert(0, "/opt/notebake/guest")
from environment import environment
with open("/opt/notebake/guest/config.json") as file:
    environment(json.load(file), bake=False)
home = Path("/opt/notebake/env").resolve()
def compiled(path):
    subprocess.run([home / "bin/python", "-m", "compileall", "-q", path], stdin=subprocess.DEVNULL)
with ThreadPoolExecutor(os.cpu_count()) as pool:
    list(pool.map(compiled, home.glob("lib/python3*/site-packages/*")))
if any(home.glob("lib/python3*/site-packages/matplotlib")):
    fonts = {**os.environ, "MPLCONFIGDIR": "/opt/notebake/matplotlib"}
    argv = ["/opt/notebake/env/bin/python", "-c", "import matplotlib.font_manager"]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, env=fonts)
"""


def folder(plan: Plan, payload: Payload) -> Path:
    """Return the cache folder of the environment of `plan`, named by its inputs: lock, base, build code."""
    total = hashlib.sha256(base.base_id(plan).encode() + Path(__file__).read_bytes())
    for item in payload.files:
        if item.path in ("environment.py", "machine.py", "paths.py", "requirements.txt"):
            total.update(f"{item.path}\0{len(item.data)}\0".encode() + item.data)
    return paths.cache_folder() / "environments" / f"{plan.target.name}-{total.hexdigest()[:12]}"


def make(plan: Plan, payload: Payload, root: Path, wheelhouse: Path, log: Path) -> Path:
    """Return the folder with ARCHIVE, the content of the image's /opt/notebake, building it if needed.

    The folder is complete or absent. `root` is the base's root filesystem as a tar. Requires root.
    Raises MissingTool or CommandFailed.
    """
    cached = folder(plan, payload)
    if cached.is_dir():
        return cached
    cached.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cached.parent, prefix=f".{cached.name}.") as scratch:
        tree, result = Path(scratch, "root"), Path(scratch, "result")
        mmdebstrap.unpack(root, tree, log)
        home = tree / "opt/notebake"
        home.mkdir(parents=True)
        home.chmod(0o755)
        write_folder(home / "guest", payload.files)
        shutil.copytree(wheelhouse, tree / "wheels", copy_function=os.link)
        argv = [plan.target.python.interpreter, "-c", _MAKE]
        chroot.run(tree, argv, settings=_SETTINGS, timeout=_SECONDS, log=log)
        _remove_times(home)
        result.mkdir()
        always = ("--numeric-owner", "--sort=name", f"--mtime=@{_MTIME}", "-I", "zstd -T0 -1")
        process.run(
            ["tar", "-C", home, "--exclude=./guest", *always, "-cf", result / ARCHIVE, "."],
            timeout=_SECONDS, log=log,
        )  # fmt: skip
        rename_once(result, cached)
    return cached


def _remove_times(home: Path) -> None:
    """Remove from `home` what depends on when it was made.

    Bytecode gets the time that its source has in the archive. Its header is: magic number, flags, the
    source's time and size, 4 bytes each (PEP 552). uv notes the time of each wheel that it installs from
    a file.
    """
    for path in home.rglob("*.pyc"):
        with open(path, "r+b") as file:
            if file.read(8)[4:] == bytes(4):
                file.write(struct.pack("<I", _MTIME))
    for note in home.rglob("*.dist-info/uv_cache.json"):
        note.unlink()
        record = note.with_name("RECORD")
        lines = record.read_text("utf-8").splitlines(keepends=True)
        record.write_text("".join(line for line in lines if f"/{note.name}," not in line), "utf-8")
