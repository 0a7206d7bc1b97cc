"""A root file system that a workflow runs in: with nothing of this host but its network and CAs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from notebake import process
from notebake.plan import plan, spec, targets

_AUTHORITIES = Path("/usr/local/share/ca-certificates")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Mounts that end with the namespace: nothing of them is seen outside or left behind. The devices are copies:
# a workflow changes the mode of /dev/kvm.
_MOUNTS = """
set -e
mount --bind "$1" "$1"
mount -t tmpfs -o mode=0755 tmpfs "$1/dev"
for name in full kvm null random tty urandom zero; do
  if [ -e "/dev/$name" ]; then
    cp -a "/dev/$name" "$1/dev"
  fi
done
mkdir "$1/dev/pts" "$1/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$1/dev/pts"
mount -t tmpfs tmpfs "$1/dev/shm"
ln -s pts/ptmx "$1/dev/ptmx"
ln -s /proc/self/fd "$1/dev/fd"
mount --rbind /sys "$1/sys"
mount -t proc proc "$1/proc"
mount -t tmpfs tmpfs "$1/run"
mkdir "$1/run/lock"
echo ready
exec sleep infinity
"""


def make(folder: Path, *packages: str) -> None:
    """Make a minimal Debian 13 in `folder`, from this host's mirror, with `packages` and this host's CAs."""
    host = plan.make(
        spec.parse('mirrors = "host"', source="root"), targets.get("debian-13"), folder, now=datetime.now(UTC)
    )
    archive = [line for line in host.sources.apt_lines if " trixie " in f"{line} "]
    process.run(
        ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages)}",
         "trixie", folder, *archive],
        timeout=600,
    )  # fmt: skip
    if _AUTHORITIES.is_dir():
        shutil.copytree(_AUTHORITIES, folder / _AUTHORITIES.relative_to("/"), dirs_exist_ok=True)
    for name in ("resolv.conf", "hosts"):
        shutil.copyfile(f"/etc/{name}", folder / "etc" / name)


@dataclass(frozen=True)
class Root:
    """A root file system in `folder`, and the process that keeps its namespaces."""

    folder: Path
    keeper: int

    def run(
        self, script: str, log: Path, *, env: Mapping[str, str] | None = None, user: str = "root",
        cwd: str = "/", timeout: float = 3600,
    ) -> int:  # fmt: skip
        """Run a bash script as `user` in an environment of `env` alone; return its exit code."""
        home = "/root" if user == "root" else f"/home/{user}"
        settings = {"PATH": PATH, "HOME": home, "USER": user, "LANG": "C.UTF-8"} | dict(env or {})
        argv = [
            "nsenter", "--target", str(self.keeper), "--mount", "--pid", "--",
            "chroot", f"--userspec={user}", f"--groups={user}", str(self.folder),
            "env", "-i", "-C", cwd, *(f"{name}={value}" for name, value in settings.items()),
            "bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script,
        ]  # fmt: skip
        with open(log, "ab") as output:
            done = subprocess.run(
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, timeout=timeout
            )
        return done.returncode


@contextmanager
def entered(folder: Path) -> Iterator[Root]:
    """Yield the root in `folder`. Its processes, also the machines that it launched, end with the block."""
    unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]
    with subprocess.Popen(
        [*unshare, "bash", "-c", _MOUNTS, "root", folder], stdout=subprocess.PIPE, text=True
    ) as outer:
        assert outer.stdout is not None and outer.stdout.readline() == "ready\n"
        keeper = int(Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text())
        try:
            yield Root(folder, keeper)
        finally:
            # unshare then waits until all processes of the namespace have ended.
            os.kill(keeper, signal.SIGKILL)
