"""Jupyter's files on Linux."""

import json
import os
import pwd
from pathlib import Path

import jupyter_settings
import layer
from machine import write
from paths import HOME, STATE


def kernel(config, home, env):
    """Return kernel.json: the kernel runs in the user's layer, and its shell commands find that first."""
    own = home / layer.FOLDER
    path = {"PATH": f"{own}/bin:{env}/bin:${{PATH}}", "VIRTUAL_ENV": str(own)}
    argv = [*config["kernel_prefix"], str(own / "bin/python")]
    return jupyter_settings.kernel(argv, config["profile"], path)


def server(config, notebooks, tls, home):
    """Return the server's settings: those of every system and those of Linux."""
    settings = jupyter_settings.server(config, notebooks, tls)
    settings["MultiKernelManager"]["kernel_manager_class"] = "kernels.Kernel"
    settings["ServerApp"]["kernel_websocket_connection_class"] = "kernels.Connection"
    # Widgets that the user installs bring their part of the page.
    extensions = home / layer.FOLDER / "share/jupyter/labextensions"
    settings["JupyterNotebookApp"] = {"extra_labextensions_path": [str(extensions)]}
    return settings


def profile(config):
    """Write the kernel, its profile and the server's settings, and make the notebooks' folder."""
    account = pwd.getpwnam(config["user"])
    owner = (account.pw_uid, account.pw_gid)
    env, name, home = HOME / "env", config["profile"], Path(account.pw_dir)
    write(env / "share/jupyter/kernels" / name / "kernel.json", kernel(config, home, env))

    def folder(path):
        if path.is_relative_to(home):
            inner = path.relative_to(home)
            for part in (*reversed(inner.parents), inner):
                own(home / part)
        else:
            path.mkdir(parents=True, exist_ok=True)
            own(path)

    def own(path):
        path.mkdir(exist_ok=True)
        os.chown(path, *owner)

    ipython = home / ".ipython" / f"profile_{name}"
    folder(ipython)
    write(ipython / "ipython_kernel_config.py", jupyter_settings.profile(config), owner=owner)
    notebooks = home / config["folder"]  # an absolute folder replaces home
    folder(notebooks)
    settings = server(config, notebooks, STATE / "tls", home)
    for name, text in jupyter_settings.page().items():
        write(Path("/etc/jupyter", name), text)
    # It holds the password's hash: only root and the server may read it.
    path = Path("/etc/jupyter/jupyter_server_config.json")
    write(path, json.dumps(settings, indent=1), 0o640, (0, account.pw_gid))
