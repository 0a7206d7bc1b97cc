"""A daemon of Incus for tests: its own folder, bridge, subnet, pool and client configuration.

It runs beside another Incus on the host and touches nothing of it. Nothing of it is left after `close`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any

import pytest

from notebake import process
from notebake.machines import incus_client

_SECONDS = 120


class Incus:
    """A daemon that is set up with a `dir` pool and a bridge; the client uses it until `close`."""

    def __init__(self, number: int, patch: pytest.MonkeyPatch) -> None:
        # Not pytest's temporary folder: the users of a container have no access to it.
        self.folder = folder = Path(tempfile.mkdtemp(prefix="notebake-incus-"))
        folder.chmod(0o711)
        self.bridge = f"nbtest{number}"
        self.subnet = f"10.213.{200 + number}"
        self._log = folder / "daemon.log"
        self._pid: int | None = None
        (folder / "conf").mkdir()
        self._env = {
            "INCUS_DIR": str(folder),
            "INCUS_CONF": str(folder / "conf"),
            "INCUS_CACHE": str(folder / "cache"),
        }
        for name, value in self._env.items():
            patch.setenv(name, value)
        self.start()
        try:
            self.client("admin", "init", "--preseed", stdin=json.dumps(self._preseed()))
        except BaseException:
            self._remove()
            raise

    def _preseed(self) -> dict[str, Any]:
        # `auto` would try each subnet by ping, which not every host allows.
        subnet = {"ipv4.address": f"{self.subnet}.1/24", "ipv4.nat": "true", "ipv6.address": "none"}
        return {
            "storage_pools": [{"name": "default", "driver": "dir"}],
            "networks": [{"name": self.bridge, "type": "bridge", "config": subnet}],
            "profiles": [{"name": "default", "devices": self.devices}],
        }

    @property
    def devices(self) -> dict[str, dict[str, str]]:
        """The devices of a profile that machines can use."""
        return {
            "eth0": {"type": "nic", "network": self.bridge, "name": "eth0"},
            "root": {"type": "disk", "path": "/", "pool": "default"},
        }

    def start(self) -> None:
        """Start the daemon and wait until it answers."""
        self._pid = process.spawn([incus_client.DAEMON, "--group", "root"], log=self._log, env=self._env)
        process.run([incus_client.DAEMON, "waitready", "--timeout", "60"], timeout=_SECONDS, env=self._env)

    def end(self, how: signal.Signals) -> None:
        """Signal the daemon and wait for its end; its containers continue."""
        if self._pid is not None:
            os.kill(self._pid, how)
            os.waitpid(self._pid, 0)
            self._pid = None

    def client(self, *argv: str, stdin: str = "") -> str:
        """Run the client and return its output."""
        done = process.run(["incus", *argv], timeout=_SECONDS, env=self._env, stdin=stdin.encode())
        return done.stdout.decode()

    def query(self, path: str, *more: str) -> Any:
        """Return the daemon's answer to GET /1.0`path`, with the parameters `more`."""
        return incus_client.query(path, remote="local", more="&".join(more))

    def instances(self) -> dict[str, str]:
        """Return the state of all instances in all projects, by name."""
        return {row["name"]: row["status"] for row in self._all()}

    def _all(self) -> list[dict[str, Any]]:
        return self.query("/instances", "all-projects=true", "recursion=1") or []

    def close(self) -> None:
        """Remove all of it, also after a failed test."""
        if self._pid is None:
            self.start()
        for row in self._all():
            self.client("delete", "--force", row["name"], "--project", row["project"])
        for project in self.query("/projects", "recursion=1"):
            for profile in self.query("/profiles", f"project={project['name']}", "recursion=1"):
                self.client("profile", "edit", profile["name"], "--project", project["name"], stdin="{}")
        self.client("network", "delete", self.bridge)
        self._remove()

    def _remove(self) -> None:
        self.end(signal.SIGTERM)
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8")
        for mount in sorted(re.findall(rf" ({re.escape(str(self.folder))}/\S+) ", mounts), reverse=True):
            process.run(["umount", mount], timeout=60)
        shutil.rmtree(self.folder)
