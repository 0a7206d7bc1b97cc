"""Run a program in a root filesystem on the host, apart from the host's own system.

Mounts and processes are in namespaces of their own: nothing stays mounted or running, whatever happens. The
network is the host's, or none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from notebake import process

# Single devices instead of the host's /dev: package scripts make and remove nodes there.
_ENTER = """\
umask 022
mount -t proc proc "$1/proc"
mount -t tmpfs -o mode=0755 dev "$1/dev"
for node in full null random urandom zero; do
  : >"$1/dev/$node"
  mount --bind "/dev/$node" "$1/dev/$node"
done
ln -s /proc/self/fd "$1/dev/fd"
ln -s pts/ptmx "$1/dev/ptmx"
mkdir "$1/dev/pts"
mkdir -m 1777 "$1/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 pts "$1/dev/pts"
mount -t tmpfs -o mode=0755 run "$1/run"
mkdir -m 1777 "$1/run/lock"
cp -L /etc/resolv.conf "$1/run/resolv.conf" || true
exec chroot "$@"
"""
# Services are not started: their ports would be the host's.
_INSIDE = """\
resolv=$(readlink -m /etc/resolv.conf)
case $resolv in
/run/*)
  mkdir -p "${resolv%/*}"
  cp /run/resolv.conf "$resolv" || true
  ;;
esac
policy=/usr/sbin/policy-rc.d
trap 'rm -f "$policy"' EXIT
printf '#!/bin/sh\\nexit 101\\n' >"$policy"
chmod 0755 "$policy"
"$@"
"""
_SETTINGS = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC0",
    # No systemd runs there: systemctl enables units, and starts none.
    "SYSTEMD_OFFLINE": "1",
}


def proxies() -> dict[str, str]:
    """Return the host's proxies, for programs that use its network: a machine's may be out of its reach."""
    names = ("http_proxy", "https_proxy", "no_proxy")
    return {name: value for name, value in process.environment().items() if name.lower() in names}


def run(
    tree: Path,
    argv: Sequence[str],
    *,
    settings: Mapping[str, str],
    timeout: float,
    log: Path | None,
    network: bool = True,
) -> None:
    """Run the program `argv` of the root filesystem in the folder `tree`, as root; its output goes to `log`.

    Its environment is `settings` and a few fixed variables, nothing of the host's. Without `network` it
    reaches no other host, and not this one. Requires root. Raises MissingTool or CommandFailed.
    """
    environment = [f"{name}={value}" for name, value in (_SETTINGS | dict(settings)).items()]
    process.run(
        [
            *("unshare", "--mount", "--pid", "--fork", "--kill-child", *([] if network else ["--net"])),
            *("sh", "-euc", _ENTER, "sh", tree),
            *("/usr/bin/env", "-i", *environment),
            *("sh", "-euc", _INSIDE, "sh", *argv),
        ],
        timeout=timeout,
        log=log,
    )
