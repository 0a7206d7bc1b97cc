"""Turn a plain Linux system into a notebook machine. Run as root; every step can be repeated.

Two ways deliver the same files: cloud-init writes this folder at the first boot and starts
notebake-setup.service; Packer unpacks the folder and runs `setup.py --bake`. All values come from
config.json in this folder. A step that a power loss cut off is repeated at the next boot: DONE is
written last, after a sync.
"""

import importlib
import json
import os
import sys
import time
from pathlib import Path

from environment import environment, font_list, remove_unused, warm
from firewall import firewall
from jupyter_files import profile
from machine import run, say, write
from paths import GUEST, HOME, STATE
from system import programs, sources, upgrade, user

UNITS = Path("/etc/systemd/system")
DONE = GUEST / "complete"
SERVED = Path("/run/notebake/served")  # the content of DONE when the server was started


def digest():
    """Return the digest of the provisioning files in this folder."""
    return (GUEST / "digest").read_text()


def unit_names():
    """Return the names of the units to enable, sorted."""
    return sorted(path.name for path in (GUEST / "units").iterdir() if path.name != "notebake-setup.service")


def services(config, bake):
    """Install and enable the units. Stop a server that was started from older files."""
    for source in sorted((GUEST / "units").iterdir()):
        write(UNITS / source.name, source.read_text().replace("@user@", config["user"]))
    known = {path.name for path in [*GUEST.glob("units/*"), *GUEST.glob("root/etc/systemd/system/*")]}
    for unit in UNITS.glob("notebake-*.*[er]"):
        if unit.name not in known:  # from older files
            run("systemctl", "disable", "--quiet", "--now", unit.name)
            unit.unlink()
    run("systemctl", "daemon-reload")
    run("systemctl", "enable", "--quiet", *unit_names())
    if bake:
        write(HOME / "env/warm", "")
    elif not SERVED.exists() or SERVED.read_text() != digest():
        # Before its environment is removed; main() starts the new server.
        run("systemctl", "stop", "notebake-notebook.service")
    remove_unused()


def optional(name, config):
    """Run the step of a module that only machines have which need it."""
    if (GUEST / f"{name}.py").exists():
        importlib.import_module(name).step(config)


def own(config, when):
    """Return the steps of the spec's own software to do `when`."""
    if not config["own"]:
        return {}
    from own import steps

    return steps(config, when)


def main():
    os.umask(0o022)  # of a first boot; Packer's log-in may have another
    bake = "--bake" in sys.argv[1:]
    config = json.loads((GUEST / "config.json").read_text())
    os.environ.setdefault("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
    if "NOTEBAKE_WHEELHOUSE" not in os.environ:  # Packer's, beside this machine
        os.environ.update(config["proxy"])
    STATE.mkdir(mode=0o755, parents=True, exist_ok=True)
    if "--warm" in sys.argv[1:]:
        warm(config)
        return
    steps = {
        # Until set-up is done: updates would hold the package manager's lock.
        "timers": lambda: run("systemctl", "stop", *config["timers"]) if config["timers"] else None,
        "trust": lambda: optional("trust", config),
        "sources": lambda: sources(config),
        "upgrade": upgrade,
        **own(config, "first"),
        "programs": lambda: programs(config),
        "firewall": lambda: firewall(config["port"]),
        "user": lambda: user(config),
        **own(config, "before"),
        "environment": lambda: environment(config, bake),
        "profile": lambda: profile(config),
        "preload": lambda: optional("preload", config),
        "fonts": lambda: font_list(config) if bake else None,
        **own(config, "after"),
        "labels": lambda: optional("selinux", config),
        "services": lambda: services(config, bake),
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
        run("systemctl", "start", "--no-block", *unit_names(), *config["timers"])


if __name__ == "__main__":
    main()
