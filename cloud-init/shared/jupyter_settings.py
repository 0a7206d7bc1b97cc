"""Jupyter configuration shared by Linux and Windows: the kernel, its profile, the server."""

import json
import shutil

# Mozilla's intermediate configuration, 5.7; those of TLS 1.3 are always there.
CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)


def kernel(python, name, env):
    """Return kernel.json of the kernel `name` with the profile `name`; `python`: its interpreter's argv."""
    argv = [*python, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--profile", name]
    spec = {
        "argv": argv,
        "display_name": f"Python 3 ({name})",
        "language": "python",
        "metadata": {"debugger": True},
        "env": env,
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


def page():
    """Return the settings of the page: path below Jupyter's folder of settings -> text."""
    settings = {
        # A notebook of another kernel, or without one, starts the one that there is, and does not ask.
        "default_setting_overrides": {
            "@jupyterlab/notebook-extension:tracker": {"autoStartDefaultKernel": True}
        },
        # There are no language servers to ask for.
        "page_config": {"disabledExtensions": {"@jupyterlab/lsp-extension": True}},
    }
    return {f"labconfig/{name}.json": json.dumps(value) for name, value in settings.items()}


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
            "ssl_options": {"ciphers": CIPHERS},
            "jpserver_extensions": {"notebook": True, "jupyter_lsp": False},
            # As large as an upload may be; by default a file of 10 MB in a widget ends the connection.
            "tornado_settings": {
                "websocket_max_message_size": 1 << 29,
                "xsrf_cookie_kwargs": {"path": "/", "secure": True},
            },
            # Of one behind a reverse proxy.
            **config.get("server", {}),
        },
        # The trash would be outside the root folder, where users cannot see or empty it.
        "FileContentsManager": {"delete_to_trash": False, "always_delete_dir": True},
        "MultiKernelManager": {"default_kernel_name": config["profile"]},
        # A kernel's first start imports NumPy and matplotlib. On a small or emulated machine that takes
        # longer than a minute, after which the server would close the page's connection.
        "MappingKernelManager": {
            "kernel_info_timeout": 600,
            "cull_idle_timeout": config["cull_idle_timeout"],
        },
        "KernelSpecManager": {"allowed_kernelspecs": [config["profile"]], "ensure_native_kernel": False},
        "LabApp": {"news_url": None, "check_for_updates_class": "jupyterlab.NeverCheckForUpdate"},
    }
    # Those that cannot work would answer with an error 500. A section is also for what is derived from it, as
    # PDF from Latex. Qt and WebPDF need a desktop's programs.
    tex = bool(shutil.which("pandoc") and shutil.which("xelatex"))
    for name in ("ASCIIDoc", "Latex", "RST", "Qt", "WebPDF"):
        settings[f"{name}Exporter"] = {"enabled": tex and name[0] in "ALR"}
    if config["own_certificate"]:
        # Not with one that the machine signed: browsers would refuse what their user has accepted.
        headers = {"Strict-Transport-Security": "max-age=31536000"}
        settings["ServerApp"]["tornado_settings"]["headers"] = headers
    if config["password"]:
        settings["PasswordIdentityProvider"] = {"password_required": True, "allow_password_change": False}
    return settings
