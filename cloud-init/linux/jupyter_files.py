"""Jupyter's files on Linux."""

import json
import os
import pwd
from pathlib import Path

import jupyter_settings
from machine import as_user, write
from paths import GUEST, HOME, STATE

# Where the server looks for files. Kernels and terminals have the user's own places: Jupyter's defaults.
SERVER_ONLY = (
    "JUPYTER_RUNTIME_DIR",
    "JUPYTER_CONFIG_DIR",
    "JUPYTER_DATA_DIR",
    "JUPYTERLAB_SETTINGS_DIR",
    "JUPYTERLAB_WORKSPACES_DIR",
)


def profile(config):
    """Write the kernel, its profile, the server's settings and the preloaded notebooks."""
    account = pwd.getpwnam(config["user"])
    env, name, home = HOME / "env", config["profile"], Path(account.pw_dir)
    start = ["/usr/bin/env", *(f"-u{name}" for name in SERVER_ONLY)]
    kernel = jupyter_settings.kernel(env / "bin/python", name, start)
    write(env / "share/jupyter/kernels" / name / "kernel.json", kernel)
    notebooks = home / config["folder"]  # an absolute folder replaces home
    if not notebooks.is_relative_to(home):
        notebooks.mkdir(parents=True, exist_ok=True)
        os.chown(notebooks, account.pw_uid, account.pw_gid, follow_symlinks=False)
    preloaded = {path.name: path.read_bytes() for path in GUEST.glob("notebooks/*.ipynb")}

    def in_home():
        write(home / f".ipython/profile_{name}/ipython_kernel_config.py", jupyter_settings.profile(config))
        notebooks.mkdir(parents=True, exist_ok=True)
        for file, data in preloaded.items():
            if not (notebooks / file).exists():
                write(notebooks / file, data)

    as_user(config["user"], in_home)
    server = jupyter_settings.server(config, notebooks, STATE / "tls")
    write(Path("/etc/jupyter/jupyter_server_config.json"), json.dumps(server, indent=1))
    # Else the server would look for settings of IPython 3 to copy.
    write(Path("/etc/jupyter/migrated"), "")
