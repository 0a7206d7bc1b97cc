"""The one place that runs programs: argv lists, small explicit environment, a time limit.

`run` waits for a program; `spawn` leaves one running (QEMU, systemd-nspawn) in its own session with
its output in a file, because a pipe that nobody reads stops a machine.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from notebake.errors import CommandFailed, MissingTool

TAIL_LINES = 20

# Programs that fetch need the host's proxy and CA settings; nothing else of the caller's
# environment is handed on.
_PASSED = (
    "HOME",
    "LANG",
    "PATH",
    "TERM",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "PIP_CERT",
    "PIP_INDEX_URL",
    "UV_DEFAULT_INDEX",
    "UV_INDEX_URL",
    "UV_CACHE_DIR",
    "XDG_CACHE_HOME",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
)


@dataclass(frozen=True, kw_only=True)
class Completed:
    """A finished program: its argv, exit code, and what it printed (bytes, streams merged when logged)."""

    argv: tuple[str, ...]
    returncode: int
    stdout: bytes


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment handed to programs: the host's network settings and `extra`, nothing else."""
    env = {name: os.environ[name] for name in _PASSED if name in os.environ}
    env.setdefault("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    env.update(extra or {})
    return env


def which(tool: str) -> Path:
    """The path of `tool`; raises MissingTool with the command that installs it."""
    # uv comes with notebake, beside its Python; sbin is not in every user's PATH.
    path = os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]
    )
    found = shutil.which(tool, path=path)
    if found is None:
        raise MissingTool(
            f"{tool}: this program is not installed",
            "run `notebake doctor`: it says what is missing and the one command that mends it",
        )
    return Path(found)


def has(tool: str) -> bool:
    """Whether `tool` is installed."""
    try:
        which(tool)
    except MissingTool:
        return False
    return True


def tail(text: bytes, lines: int = TAIL_LINES) -> str:
    """The last `lines` lines of `text`, decoded leniently."""
    return "\n".join(text.decode("utf-8", "replace").rstrip().splitlines()[-lines:])


def run(
    argv: Sequence[str | Path],
    *,
    timeout: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: bytes | None = None,
    log: Path | None = None,
    check: bool = True,
) -> Completed:
    """Run a program to its end.

    `timeout` in seconds. With `log`, stdout and stderr are appended there as they come; without it
    both are collected. The program gets its own session and is killed with all its children on a
    time-out or Ctrl-C. Raises MissingTool, or CommandFailed (unless `check` is False) with the
    program's last lines.
    """
    args = [str(which(str(argv[0])))] + [str(arg) for arg in argv[1:]]
    with contextlib.ExitStack() as stack:
        sink: IO[bytes] | int = subprocess.PIPE
        if log:
            sink = stack.enter_context(open(log, "ab", buffering=0))
            sink.write(f"+ {shlex.join(args)}\n".encode())
        child = subprocess.Popen(
            args,
            stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=environment(env),
            cwd=cwd,
            start_new_session=True,
        )
        try:
            out, _ = child.communicate(stdin, timeout=timeout)
        except BaseException as error:
            kill_session(child.pid)
            child.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                raise CommandFailed(
                    f"{Path(args[0]).name}: not finished after {timeout:.0f} s",
                    f"the whole log is in {log}" if log else None,
                ) from None
            raise
    output = log.read_bytes() if log else out
    if check and child.returncode != 0:
        raise CommandFailed(
            f"{Path(args[0]).name}: exit code {child.returncode}\n{tail(output)}",
            f"the whole log is in {log}" if log else f"the command was: {shlex.join(args)}",
        )
    return Completed(argv=tuple(args), returncode=child.returncode, stdout=output)


def spawn(argv: Sequence[str | Path], *, log: Path, env: Mapping[str, str] | None = None) -> int:
    """Start a program in its own session with its output in `log`; returns its pid (also its pgid)."""
    args = [str(which(str(argv[0])))] + [str(arg) for arg in argv[1:]]
    with open(log, "ab") as sink:
        child = subprocess.Popen(
            args,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=environment(env),
            start_new_session=True,
        )
    # It lives on without us: nobody waits for it, and Popen need not warn of that.
    child.returncode = 0
    return child.pid


def kill_session(pid: int) -> None:
    """End the process group that `run` or `spawn` started; silent when it is gone already."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
