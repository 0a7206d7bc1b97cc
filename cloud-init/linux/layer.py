"""The user's own Python packages: a virtual environment in the home, on top of the locked one.

It sees the locked packages through a .pth file; what the user installs comes first. The lock stays root's.
Made as the user, when a kernel starts and it is missing: `rm -rf ~/.venv` resets it.
"""

import shutil
import site
import sys
import venv
from pathlib import Path

FOLDER = ".venv"  # in the home


def ensure(home):
    """Make the layer in `home` unless it is complete. OSError if that fails."""
    layer = home / FOLDER
    locked = site.getsitepackages()[0]
    packages = layer / Path(locked).relative_to(sys.prefix)
    complete = packages / "notebake.pth"
    if complete.exists() and (layer / "bin/python").exists():
        return
    if layer.exists() and not packages.exists():
        # Of another Python version. Kept: the user may want to know what was in it.
        old = layer.with_name(f"{FOLDER}-old")
        shutil.rmtree(old, ignore_errors=True)
        layer.rename(old)
    venv.create(layer, symlinks=True)
    for name in ("pip", "pip3"):
        program = layer / "bin" / name
        # No `#!` with the path: it may be too long or contain a space.
        program.write_text('#!/bin/sh\nexec "${0%/*}/python" -m pip "$@"\n')
        program.chmod(0o755)
    # addsitedir: the locked packages may have .pth files too. Written last.
    complete.write_text(f"import site; site.addsitedir({locked!r})\n")
