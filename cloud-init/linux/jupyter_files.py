"""Jupyter's part: the kernel with its profile, the server's config, the folder and its first notebooks."""

import json
import os
import pwd
from pathlib import Path

import jupyter_settings
from machine import GUEST, HOME, STATE, write


def profile(config):
    """The kernel with its profile, the server's config, the folder and its first notebooks."""
    account = pwd.getpwnam(config["user"])
    owner = (account.pw_uid, account.pw_gid)
    env, name, home = HOME / "env", config["profile"], Path(account.pw_dir)
    kernel = jupyter_settings.kernel(env / "bin/python", name)
    write(env / "share/jupyter/kernels" / name / "kernel.json", kernel)

    def folder(path):
        for part in (
            [*reversed(path.relative_to(home).parents), path.relative_to(home)]
            if path.is_relative_to(home)
            else []
        ):
            own(home / part)
        if not path.is_relative_to(home):
            path.mkdir(parents=True, exist_ok=True)
            own(path)

    def own(path):
        path.mkdir(exist_ok=True)
        os.chown(path, *owner)

    ipython = home / ".ipython" / f"profile_{name}"
    folder(ipython)
    write(ipython / "ipython_kernel_config.py", jupyter_settings.profile(config), owner=owner)
    notebooks = home / config["folder"]  # an absolute folder stays what it is
    folder(notebooks)
    for source in sorted((GUEST / "notebooks").glob("*.ipynb")):
        if not (notebooks / source.name).exists():
            write(notebooks / source.name, source.read_bytes(), owner=owner)
    server = jupyter_settings.server(config, notebooks, STATE / "tls")
    # The hash is for the server alone: not for other users of the machine.
    write(
        Path("/etc/jupyter/jupyter_server_config.json"),
        json.dumps(server, indent=1),
        0o640,
        (0, account.pw_gid),
    )
