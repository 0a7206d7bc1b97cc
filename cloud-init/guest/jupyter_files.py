"""Jupyter's part: the kernel with its profile, the server's config, the folder and its first notebooks."""

import json
import os
import pwd
from pathlib import Path

from machine import GUEST, HOME, STATE, write


def profile(config):
    """The kernel with its profile, the server's config, the folder and its first notebooks."""
    account = pwd.getpwnam(config["user"])
    owner = (account.pw_uid, account.pw_gid)
    env, name, home = HOME / "env", config["profile"], Path(account.pw_dir)
    argv = [str(env / "bin/python"), "-m", "ipykernel_launcher", "-f", "{connection_file}", "--profile", name]
    spec = {
        "argv": argv,
        "display_name": f"Python 3 ({name})",
        "language": "python",
        "metadata": {"debugger": True},
    }
    write(env / "share/jupyter/kernels" / name / "kernel.json", json.dumps(spec, indent=1))

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
    pylab = "" if config["pylab"] == "none" else f"c.IPKernelApp.pylab = {json.dumps(config['pylab'])}\n"
    write(ipython / "ipython_kernel_config.py", "c = get_config()  # noqa: F821\n" + pylab, owner=owner)
    notebooks = home / config["folder"]  # an absolute folder stays what it is
    folder(notebooks)
    for source in sorted((GUEST / "notebooks").glob("*.ipynb")):
        if not (notebooks / source.name).exists():
            write(notebooks / source.name, source.read_bytes(), owner=owner)
    server = {
        "ServerApp": {
            "ip": "",
            "port": config["port"],
            "port_retries": 0,
            "open_browser": False,
            "allow_remote_access": True,
            "root_dir": str(notebooks),
            "certfile": str(STATE / "tls/cert.pem"),
            "keyfile": str(STATE / "tls/key.pem"),
            "jpserver_extensions": {"notebook": True, "jupyter_lsp": False},
        },
        "MultiKernelManager": {"default_kernel_name": name},
        # A kernel's first start imports NumPy and matplotlib: on a small or emulated machine that is
        # more than the minute after which the server would close the page's connection.
        "MappingKernelManager": {"kernel_info_timeout": 600},
        "KernelSpecManager": {"allowed_kernelspecs": [name], "ensure_native_kernel": False},
        "LabApp": {"news_url": None, "check_for_updates_class": "jupyterlab.NeverCheckForUpdate"},
    }
    if config["password"]:
        server["PasswordIdentityProvider"] = {
            "hashed_password": config["password"],
            "password_required": True,
            "allow_password_change": False,
        }
    # The hash is for the server alone: not for other users of the machine.
    write(
        Path("/etc/jupyter/jupyter_server_config.json"),
        json.dumps(server, indent=1),
        0o640,
        (0, account.pw_gid),
    )
