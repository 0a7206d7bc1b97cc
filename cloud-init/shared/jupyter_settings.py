"""Jupyter configuration shared by Linux and Windows: the kernel, its profile, the server."""

import json


def kernel(python, name):
    """Return kernel.json of the kernel `name` with the profile `name`; `python` is its interpreter."""
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}", "--profile", name]
    spec = {
        "argv": argv,
        "display_name": f"Python 3 ({name})",
        "language": "python",
        "metadata": {"debugger": True},
    }
    return json.dumps(spec, indent=1)


# `pylab` replaces Python's abs, all, any, bool, divmod, max, min, pow, round and sum by NumPy's, which
# behave differently. Kernels run this line after `pylab` and before the first cell.
KEEP_BUILTINS = (
    "globals().update({name: value for name, value in vars(__import__('builtins')).items()"
    " if name[0] != '_' and name in dir(globals().get('pylab'))})"
)


def profile(config):
    """Return ipython_kernel_config.py of the profile."""
    lines = ["c = get_config()  # noqa: F821"]
    if config["pylab"] != "none":
        lines += [
            f"c.IPKernelApp.pylab = {json.dumps(config['pylab'])}",
            f"c.IPKernelApp.exec_lines = [{json.dumps(KEEP_BUILTINS)}]",
        ]
    return "\n".join([*lines, ""])


def server(config, notebooks, tls):
    """Return the server's settings; `tls` is the folder of its certificate and key."""
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
            # As large as an upload may be; by default a file of 10 MB in a widget ends the connection.
            "tornado_settings": {"websocket_max_message_size": 1 << 29},
        },
        # The trash would be outside the root folder, where users cannot see or empty it.
        "FileContentsManager": {"delete_to_trash": False, "always_delete_dir": True},
        "MultiKernelManager": {"default_kernel_name": config["profile"]},
        # A kernel's first start imports NumPy and matplotlib. On a small or emulated machine that takes
        # longer than a minute, after which the server would close the page's connection.
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
