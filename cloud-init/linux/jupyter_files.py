"""Jupyter's files on Linux."""

import json
import os
import pwd
from pathlib import Path

import jupyter_settings
import layer
from machine import as_user, write
from paths import HOME, STATE

# Where the server looks for files. Kernels and terminals have the user's own places: Jupyter's defaults.
SERVER_ONLY = (
    "JUPYTER_RUNTIME_DIR",
    "JUPYTER_CONFIG_DIR",
    "JUPYTER_DATA_DIR",
    "JUPYTERLAB_SETTINGS_DIR",
    "JUPYTERLAB_WORKSPACES_DIR",
)


def kernel(config, home, env):
    """Return kernel.json: the kernel runs in the user's layer, and its shell commands find that first."""
    own = home / layer.FOLDER
    path = {"PATH": f"{own}/bin:{env}/bin:${{PATH}}", "VIRTUAL_ENV": str(own)}
    # Jupyter takes what is empty as not set.
    path |= dict.fromkeys(SERVER_ONLY, "")
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
    env, name, home = HOME / "env", config["profile"], Path(account.pw_dir)
    write(env / "share/jupyter/kernels" / name / "kernel.json", kernel(config, home, env))
    notebooks = home / config["folder"]  # an absolute folder replaces home
    if not notebooks.is_relative_to(home):
        notebooks.mkdir(parents=True, exist_ok=True)
        os.chown(notebooks, account.pw_uid, account.pw_gid, follow_symlinks=False)

    def in_home():
        write(home / f".ipython/profile_{name}/ipython_kernel_config.py", jupyter_settings.profile(config))
        notebooks.mkdir(parents=True, exist_ok=True)

    as_user(config["user"], in_home)
    settings = server(config, notebooks, STATE / "tls", home)
    for file, text in jupyter_settings.page().items():
        write(Path("/etc/jupyter", file), text)
    write(Path("/etc/jupyter/jupyter_server_config.json"), json.dumps(settings, indent=1))
    # Else the server would look for settings of IPython 3 to copy.
    write(Path("/etc/jupyter/migrated"), "")
