"""A cluster of Incus on this host for tests: each member has a network namespace, all are on one bridge.

A member ends as a host that loses power does, and comes back. Nothing of it is left after `close`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import tenacity
from tests.incus import many_containers, number_of_this_daemon

from notebake import process
from notebake.machines import incus_client

_SECONDS = 600
# A namespace of the network needs its own /sys, and a daemon the control groups of the host in it.
_ENTER = """\
mkdir -p "$INCUS_DIR/cgroup"
mount --rbind /sys/fs/cgroup "$INCUS_DIR/cgroup"
mount -t sysfs sysfs /sys
mount --rbind "$INCUS_DIR/cgroup" /sys/fs/cgroup
umount --recursive "$INCUS_DIR/cgroup"
exec "$@" --group root
"""


class Member:
    """A daemon in a network namespace of its own, at `address`."""

    def __init__(self, name: str, address: str, bridge: str, folder: Path) -> None:
        self.name, self.address = name, address
        self._netns = f"{bridge}-{name}"
        folder.mkdir(mode=0o711)
        self._env = {"INCUS_DIR": str(folder), "INCUS_CONF": str(folder / "conf")}
        self._log = folder.with_name(f"{name}.log")
        self._pid: int | None = None
        self._card = f"{bridge}{name[-1]}"
        _ip("netns", "add", self._netns)
        _ip(
            "link",
            "add",
            self._card,
            "master",
            bridge,
            "up",
            "type",
            "veth",
            "peer",
            "eth0",
            "netns",
            self._netns,
        )
        for words in (("link", "set", "lo", "up"), ("link", "set", "eth0", "up")):
            _ip("-n", self._netns, *words)
        _ip("-n", self._netns, "address", "add", f"{address}/24", "dev", "eth0")
        self.start()

    def start(self) -> None:
        """Start the daemon and wait until it answers."""
        enter = ["nsenter", f"--net=/run/netns/{self._netns}", "unshare", "--mount", "--propagation", "slave"]
        argv = [*enter, "sh", "-euc", _ENTER, "sh", incus_client.DAEMON]
        self._pid = process.spawn(argv, log=self._log, env=self._env)
        process.run([incus_client.DAEMON, "waitready", "--timeout", "120"], timeout=_SECONDS, env=self._env)

    def client(self, *argv: str, stdin: str = "") -> str:
        """Run the client with this member's daemon and return its output."""
        done = process.run(["incus", *argv], timeout=_SECONDS, env=self._env, stdin=stdin.encode())
        return done.stdout.decode()

    def lose_power(self) -> None:
        """Kill the daemon, its machines and all its other programs at once."""
        if self._pid is None:
            return
        listed = process.run(["ip", "netns", "pids", self._netns], timeout=60).stdout.split()
        own = {int(pid) for pid in listed}
        # The first process of a container has another network; its parent, the monitor, has the member's.
        for status in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                fields = status.read_text().rpartition(")")[2].split()
                if int(fields[1]) in own:
                    own.add(int(status.parent.name))
        for pid in own:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        self._pid = None

    def remove(self) -> None:
        """End it and remove its namespace."""
        self.lose_power()
        # A connection to another member that ended keeps the namespace, with its card, for some minutes.
        _ip("link", "delete", self._card)
        _ip("netns", "delete", self._netns)


class Cluster:
    """Three members; the client of this test uses the first one as the remote `lab`."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.members: list[Member] = []
        self.folder = Path(tempfile.mkdtemp(prefix="notebake-cluster-"))
        self.folder.chmod(0o711)
        number, self._held = number_of_this_daemon()
        self._bridge = f"nbcl{number}"
        try:
            _ip("link", "add", self._bridge, "type", "bridge")
            _ip("link", "set", self._bridge, "up")
            _ip("address", "add", f"10.214.{number}.254/24", "dev", self._bridge)
            for index in (1, 2, 3):
                name = f"node{index}"
                folder = self.folder / name
                self.members.append(Member(name, f"10.214.{number}.{index}", self._bridge, folder))
                self._join(self.members[-1])
            first = self.members[0]
            first.client("config", "set", "cluster.offline_threshold", "11")
            conf = self.folder / "client"
            patch.setenv("INCUS_DIR", str(self.folder / "none"))
            patch.setenv("INCUS_CONF", str(conf))
            token = first.client("config", "trust", "add", "--quiet", "me").split()[-1]
            argv = ["incus", "remote", "add", "lab", token, "--accept-certificate"]
            process.run(argv, timeout=_SECONDS, env={"INCUS_CONF": str(conf)})
        except BaseException:
            self.close()
            raise

    def _join(self, member: Member) -> None:
        first = self.members[0]
        cluster: dict[str, Any] = {"enabled": True, "server_name": member.name}
        preseed: dict[str, Any] = {"cluster": cluster}
        if member is first:
            root = {"root": {"type": "disk", "path": "/", "pool": "default"}}
            preseed |= {
                "config": {"core.https_address": f"{member.address}:8443"},
                "storage_pools": [{"name": "default", "driver": "dir"}],
                "profiles": [{"name": "default", "devices": root}],
            }
        else:
            cluster["cluster_token"] = first.client("cluster", "add", "--quiet", member.name).split()[-1]
            cluster["server_address"] = f"{member.address}:8443"
            cluster["member_config"] = [
                {"entity": "storage-pool", "name": "default", "key": "source", "value": ""}
            ]
        member.client("admin", "init", "--preseed", stdin=json.dumps(preseed))

    def close(self) -> None:
        """Remove all of it, also after a failed test."""
        for member in self.members:
            member.remove()
        process.run(["ip", "link", "delete", self._bridge], timeout=60, check=False)
        # A killed container may hold its folder for a moment.
        patience = tenacity.Retrying(
            wait=tenacity.wait_fixed(0.5), stop=tenacity.stop_after_delay(60), reraise=True
        )
        patience(shutil.rmtree, self.folder)
        self._held.release()


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Make a cluster, which the client uses in the block."""
    with pytest.MonkeyPatch.context() as patch, many_containers():
        made = Cluster(patch)
        try:
            yield made
        finally:
            made.close()


def _ip(*argv: str) -> None:
    process.run(["ip", *argv], timeout=60)
