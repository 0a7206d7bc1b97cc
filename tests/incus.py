"""A daemon of Incus for tests: its own folder, bridges, subnets, pool and client configuration.

It runs beside another Incus on the host, also that of another test process, and touches nothing of it.
Nothing of it is left after `close`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock, Timeout

from notebake import process
from notebake.machines import incus_client

_SECONDS = 600
# The profile of machines that reach nothing but this host.
CLOSED = "closed"


@contextmanager
def daemon() -> Iterator[Incus]:
    """Start a daemon, which the client uses in the block."""
    with pytest.MonkeyPatch.context() as patch:
        incus = Incus(patch)
        try:
            yield incus
        finally:
            incus.close()


@contextmanager
def many_containers() -> Iterator[None]:
    """Allow more than a dozen containers in the block.

    Each one's systemd has several instances of inotify, and to the kernel all are of one user.
    """
    limit = Path("/proc/sys/fs/inotify/max_user_instances")
    before = limit.read_text()
    limit.write_text(str(max(1024, int(before))))
    try:
        yield
    finally:
        limit.write_text(before)


def number_of_this_daemon() -> tuple[int, FileLock]:
    """Return a number that no other daemon for tests on this host has, and the lock that holds it."""
    for number in range(100):
        lock = FileLock(f"/run/lock/notebake-test-{number}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        return number, lock
    raise RuntimeError("100 daemons of Incus for tests run on this host")


class Incus:
    """A daemon that is set up with a `dir` pool and bridges; the client uses it until `close`."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        # Not pytest's temporary folder: the users of a container have no access to it.
        self.folder = folder = Path(tempfile.mkdtemp(prefix="notebake-incus-"))
        folder.chmod(0o711)
        number, self._held = number_of_this_daemon()
        self.bridge, self._closed = f"nbtest{number}", f"nbclosed{number}"
        self._subnets = f"10.213.{2 * number}", f"10.213.{2 * number + 1}"
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
        first, second = ({"ipv4.address": f"{each}.1/24", "ipv6.address": "none"} for each in self._subnets)
        first["ipv4.nat"] = "true"
        second |= {"ipv4.nat": "false", "ipv4.routing": "false", "raw.dnsmasq": "port=0"}  # also no DNS
        card = {"type": "nic", "network": self._closed, "name": "eth0"}
        return {
            "storage_pools": [{"name": "default", "driver": "dir"}],
            "networks": [
                {"name": self.bridge, "type": "bridge", "config": first},
                {"name": self._closed, "type": "bridge", "config": second},
            ],
            "profiles": [
                {"name": "default", "devices": self.devices},
                {"name": CLOSED, "devices": self.devices | {"eth0": card}},
            ],
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

    def address(self, name: str) -> str:
        """Return the IPv4 address of a running instance on its bridge."""
        cards = self.query(f"/instances/{name}/state")["network"]["eth0"]["addresses"]
        (address,) = (each["address"] for each in cards if each["family"] == "inet")
        return str(address)

    def push(self, name: str, path: str, data: str) -> None:
        """Write a file in an instance, also in a stopped one."""
        self.client("file", "push", "--create-dirs", "-", f"{name}{path}", stdin=data)

    def remove(self, name: str, path: str) -> None:
        """Remove a file in an instance, if it exists."""
        process.run(["incus", "file", "delete", "--force", f"{name}{path}"], timeout=_SECONDS, env=self._env)

    def move_root(self, name: str, destination: Path) -> None:
        """Move the root file system of a stopped instance to the folder `destination`.

        Its files have the owners that they have inside: the kernel maps them where it is mounted.
        """
        root = self.folder / "storage-pools/default/containers" / name / "rootfs"
        process.run(["mv", root, destination], timeout=_SECONDS)
        root.mkdir()

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
        for bridge in (self.bridge, self._closed):
            self.client("network", "delete", bridge)
        self._remove()

    def _remove(self) -> None:
        self.end(signal.SIGTERM)
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8")
        for mount in sorted(re.findall(rf" ({re.escape(str(self.folder))}/\S+) ", mounts), reverse=True):
            process.run(["umount", mount], timeout=60)
        shutil.rmtree(self.folder)
        self._held.release()
