"""The spec's own software: its files and its scripts. Only on machines whose spec has some."""

import base64
import functools
import hashlib
import os
import shutil
from pathlib import Path

from machine import as_user, run, write
from paths import GUEST, HOME

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def files(config, home):
    """Write the files to their places: those in the user's home, which the user owns, or all others."""
    own = Path("/home", config["user"])
    for number, (name, mode, encoded) in enumerate(config["own"]["files"], 1):
        path = Path(name)
        if path.is_relative_to(own) != home:
            continue
        data = (GUEST / f"own/{number}").read_bytes()
        put = functools.partial(write, path, base64.b64decode(data) if encoded else data, mode)
        if home:
            as_user(config["user"], put)
            continue
        put()
        if shutil.which("restorecon"):
            run("restorecon", str(path))


def script(config, name, file, argv):
    """Run a script as root, once: not again when a later step failed and set-up is repeated."""
    path = GUEST / file
    done = HOME / f"ran/{path.name}-{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
    if not done.exists():
        env = {"HOME": "/root", "PATH": PATH, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
        run(*argv, str(path), **config["proxy"], **env)
        os.sync()
        write(done, "")


def steps(config, when):
    """Return the steps to do `when`: first, before or after the notebook is installed."""
    found = {}
    if when != "after":
        found["own files" if when == "first" else "own files in the home"] = functools.partial(
            files, config, when == "before"
        )
    for name, moment, file, argv in config["own"]["run"]:
        if moment == when:
            found[f"run {name}"] = functools.partial(script, config, name, file, argv)
    return found
