"""What Jupyter is told, on Linux and on Windows alike: the kernel, its profile, the server."""

import json


def kernel(python, name):
    """kernel.json of the kernel and profile `name`; `python` is the environment's interpreter."""
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}", "--profile", name]
    spec = {
        "argv": argv,
        "display_name": f"Python 3 ({name})",
        "language": "python",
        "metadata": {"debugger": True},
    }
    return json.dumps(spec, indent=1)


# `pylab` imports all of NumPy over Python's own abs, all, any, bool, divmod, max, min, pow, round and sum,
# which then give other answers. Kernels run this after it, and before any cell.
KEEP_BUILTINS = (
    "globals().update({name: value for name, value in vars(__import__('builtins')).items()"
    " if name[0] != '_' and name in dir(globals().get('pylab'))})"
)


def profile(config):
    """ipython_kernel_config.py of the profile."""
    lines = ["c = get_config()  # noqa: F821"]
    if config["pylab"] != "none":
        lines += [
            f"c.IPKernelApp.pylab = {json.dumps(config['pylab'])}",
            f"c.IPKernelApp.exec_lines = [{json.dumps(KEEP_BUILTINS)}]",
        ]
    return "\n".join([*lines, ""])


def server(config, notebooks, tls):
    """The server's settings; `tls` is the folder of its certificate and key."""
    settings = {
        "ServerApp": {
            "ip": "",
            "port": config["port"],
            "port_retries": 0,
            "open_browser": False,
            "allow_remote_access": True,
            "root_dir": str(notebooks),
            "certfile": str(tls / "cert.pem"),
            "keyfile": str(tls / "key.pem"),
            "jpserver_extensions": {"notebook": True, "jupyter_lsp": False},
        },
        # Its trash would be above the root folder, where nobody can see or empty it.
        "FileContentsManager": {"delete_to_trash": False, "always_delete_dir": True},
        "MultiKernelManager": {"default_kernel_name": config["profile"]},
        # A kernel's first start imports NumPy and matplotlib: on a small or emulated machine that is
        # more than the minute after which the server would close the page's connection.
        "MappingKernelManager": {"kernel_info_timeout": 600},
        "KernelSpecManager": {"allowed_kernelspecs": [config["profile"]], "ensure_native_kernel": False},
        "LabApp": {"news_url": None, "check_for_updates_class": "jupyterlab.NeverCheckForUpdate"},
    }
    if config["password"]:
        settings["PasswordIdentityProvider"] = {
            "hashed_password": config["password"],
            "password_required": True,
            "allow_password_change": False,
        }
    return settings
