"""SELinux, which openSUSE runs."""

import shutil
import subprocess

from machine import run
from paths import HOME, STATE


def step(config):
    """Label the files, and the notebook's port as a web server's."""
    if not shutil.which("selinuxenabled") or subprocess.run(["selinuxenabled"]).returncode:
        return
    if shutil.which("restorecon"):
        run("restorecon", "-R", str(HOME), str(STATE), "/etc/systemd/system", "/etc/jupyter")
    if shutil.which("semanage"):
        port = ["-t", "http_port_t", "-p", "tcp", str(config["port"])]
        # `--add` fails for a port that the policy has labelled, as it has 9999.
        if subprocess.run(["semanage", "port", "-a", *port]).returncode:
            run("semanage", "port", "-m", *port)
