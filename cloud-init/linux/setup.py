"""Turn this plain Linux into a notebook machine. Run by root; every step may run twice.

Delivered twice, defined once: cloud-init unpacks this folder at first boot and starts
notebake-setup.service; Packer unpacks the same folder and runs `setup.py --bake`. All values come
from config.json beside this file. A step cut off by a power loss is made anew at the next boot:
what counts as done is written last, after a sync.
"""

import json
import os
import sys
import time
from pathlib import Path

from environment import environment, fonts, remove_unused, warm
from jupyter_files import profile
from machine import GUEST, HOME, STATE, run, say, write
from system import cloud, firewall, labels, programs, trust, user

UNITS = Path("/etc/systemd/system")
DONE = GUEST / "complete"
SERVED = Path("/run/notebake/served")  # what DONE said when the server was started


def digest():
    """What this folder was delivered as; the same for the same machine."""
    return (GUEST / "digest").read_text()


def names():
    return sorted(path.name for path in (GUEST / "units").iterdir() if path.name != "notebake-setup.service")


def services(config, bake):
    for source in sorted((GUEST / "units").iterdir()):
        write(UNITS / source.name, source.read_text().replace("@user@", config["user"]))
    run("systemctl", "daemon-reload")
    run("systemctl", "enable", "--quiet", *names())
    if bake:
        write(HOME / "env/warm", "")
    elif not SERVED.exists() or SERVED.read_text() != digest():
        # A server of older files ends here, before its environment goes; `start` brings the new one.
        run("systemctl", "stop", "notebake-notebook.service")
    remove_unused()


def main():
    bake = "--bake" in sys.argv[1:]
    config = json.loads((GUEST / "config.json").read_text())
    os.environ.setdefault("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
    STATE.mkdir(mode=0o755, parents=True, exist_ok=True)
    if "--warm" in sys.argv[1:]:
        warm(config)
        return
    steps = {
        "programs": lambda: programs(config),
        "firewall": lambda: firewall(config),
        "user": lambda: user(config),
        "environment": lambda: environment(config, bake),
        "profile": lambda: profile(config),
        "fonts": lambda: fonts(config) if bake else None,
        "cloud": lambda: cloud(config),
        "labels": lambda: labels(config),
        "services": lambda: services(config, bake),
        "trust": lambda: trust(config),
    }
    for name, step in steps.items():
        started = time.monotonic()
        try:
            step()
        except (Exception, SystemExit) as error:
            say(f"setup failed at {name}: {error}")
            raise
        say(f"setup {name} {time.monotonic() - started:.1f} s")
    os.sync()
    write(DONE, digest())
    if not bake:
        run("systemctl", "start", "--no-block", *names())


if __name__ == "__main__":
    main()
