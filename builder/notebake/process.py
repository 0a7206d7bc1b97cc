"""Run programs: argv lists, an explicit environment, a timeout. No other module does.

`run` waits for a program; `stream` moves more through one than fits into memory. `spawn` leaves one running
(QEMU) in its own session. Its output goes to a file, because a full pipe would block the machine.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from notebake import owner
from notebake.errors import CommandFailed, MissingTool

TAIL_LINES = 20
_END_ATTEMPTS = 100
_BLOCK = 1 << 20
_WATCH_LOCK = threading.Lock()

# The variables that programs inherit: downloads need the host's proxy and CA settings.
_INHERITED = (
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
    """A finished program: its argv, exit code and output (stdout and stderr merged)."""

    argv: tuple[str, ...]
    returncode: int
    stdout: bytes


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment for programs: the inherited variables and `extra`, nothing else."""
    env = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    env.setdefault("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    env.update(extra or {})
    return env


def which(tool: str) -> Path:
    """Return the path of `tool`. Raises MissingTool."""
    # uv is installed with notebake, in the same folder as its Python; sbin is not in every user's PATH.
    search_path = os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]
    )
    path = shutil.which(tool, path=search_path)
    if path is None:
        raise MissingTool(
            f"{tool}: this program is not installed",
            "run `notebake doctor`: it lists missing programs and how to install them",
        )
    return Path(path)


def has(tool: str) -> bool:
    """Return whether `tool` is installed."""
    try:
        which(tool)
    except MissingTool:
        return False
    return True


def tail(text: bytes, lines: int = TAIL_LINES) -> str:
    """Return the last `lines` lines of `text`; bytes that are not UTF-8 are replaced."""
    return "\n".join(text.decode("utf-8", "replace").rstrip().splitlines()[-lines:])


_OWNER = "NOTEBAKE_OWNER"
# Its standard input ends when notebake does, however it ends; then everything that has its mark ends too.
_WATCH = f"""\
read -r _
for _ in 1 2 3; do
  for file in $(grep -lsz "^{_OWNER}=$1\\$" /proc/[0-9]*/environ); do
    pid=${{file#/proc/}}
    kill -KILL "${{pid%/environ}}" 2>/dev/null
  done
  sleep 0.2
done
"""


@functools.cache
def _watch() -> None:
    """Start the program that ends what this process has started, once."""
    end, _kept_open = os.pipe()
    watching = subprocess.Popen(
        ["sh", "-c", _WATCH, "sh", owner.mark()],
        stdin=end,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
        start_new_session=True,
    )
    watching.returncode = 0  # it outlives this process
    os.close(end)


def owned() -> dict[str, str]:
    """Return the variable for the environment of a program that must end when this process does.

    It ends with all its children, also after SIGKILL, unless the program removes the variable.
    """
    if Path("/proc/self/environ").exists():
        with _WATCH_LOCK:
            _watch()
    return {_OWNER: owner.mark()}


def _marked(name: str) -> Iterator[tuple[int, str]]:
    """Yield the pid and value of each process that this user may see with the variable `name`."""
    start = f"{name}=".encode()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            for variable in path.read_bytes().split(b"\0"):
                if variable.startswith(start):
                    yield int(path.parent.name), os.fsdecode(variable[len(start) :])


def end_marked(name: str, ends: Callable[[str], bool]) -> None:
    """Kill the processes whose variable `name` has a value that `ends`, until there is none."""
    for _ in range(_END_ATTEMPTS):
        pids = [pid for pid, value in _marked(name) if ends(value)]
        if not pids:
            return
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def end_orphans() -> None:
    """Kill what a notebake that was killed has left running."""
    end_marked(_OWNER, owner.is_dead)


def run(
    argv: Sequence[str | Path],
    *,
    timeout: float | None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: bytes | None = None,
    log: Path | None = None,
    check: bool = True,
) -> Completed:
    """Run a program and wait for it to exit.

    `timeout` is in seconds, None for as long as it takes. stdout and stderr are appended to `log`, or
    collected without one. The program runs in its own session; on a timeout or Ctrl-C it is killed with all
    its children. Raises MissingTool, or CommandFailed with the last lines of the output; an exit code other
    than 0 only if `check` is set.
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
            env=environment({**owned(), **(env or {})}),
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
                    f"{Path(args[0]).name}: timed out after {timeout:.0f} s",
                    f"the full log is in {log}" if log else None,
                ) from None
            raise
    output = log.read_bytes() if log else out
    if check and child.returncode != 0:
        raise CommandFailed(
            f"{Path(args[0]).name}: exit code {child.returncode}\n{tail(output)}",
            f"the full log is in {log}" if log else f"the command was: {shlex.join(args)}",
        )
    return Completed(argv=tuple(args), returncode=child.returncode, stdout=output)


def stream(
    argv: Sequence[str | Path],
    *,
    source: Iterable[bytes] = (),
    sink: Callable[[bytes], object] | None = None,
) -> Completed:
    """Run a program that reads the blocks of `source`, and whose output goes to `sink` block by block.

    Return its exit code, any, and its messages: standard error, without a `sink` its output too. A program
    that stops reading gets no more blocks. After an exception of `source` or `sink`, or Ctrl-C, it is killed.
    """
    args = [str(which(str(argv[0])))] + [str(arg) for arg in argv[1:]]
    with tempfile.TemporaryFile() as messages:
        child = subprocess.Popen(
            args,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if sink else messages,
            stderr=messages,
            env=environment(owned()),
            start_new_session=True,
        )
        assert child.stdin is not None
        try:
            with contextlib.suppress(BrokenPipeError), child.stdin as stdin:
                for block in source:
                    stdin.write(block)
            if sink and child.stdout is not None:
                with child.stdout as stdout:
                    while block := stdout.read(_BLOCK):
                        sink(block)
            child.wait()
        except BaseException:
            kill_session(child.pid)
            child.wait()
            raise
        messages.seek(0)
        return Completed(argv=tuple(args), returncode=child.returncode, stdout=messages.read())


def attached(argv: Sequence[str | Path], *, stdin: str | None = None) -> int:
    """Run a program to its end on the user's terminal, where sudo can ask, and return its exit code.

    `stdin` is text for it to read. Its output goes to standard error: standard output is the caller's. Raises
    MissingTool.
    """
    args = [str(which(str(argv[0])))] + [str(arg) for arg in argv[1:]]
    text = None if stdin is None else stdin.encode()
    return subprocess.run(args, input=text, stdout=2, env=environment(), check=False).returncode


def spawn(argv: Sequence[str | Path], *, log: Path, env: Mapping[str, str] | None = None) -> int:
    """Start a program in its own session and append its output to `log`. Return its pid (also its pgid)."""
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
    # The program outlives this process: with an exit code set, Popen does not warn that nobody waited.
    child.returncode = 0
    return child.pid


def kill_session(pid: int) -> None:
    """Kill the process group that `run` or `spawn` started; do nothing if it has exited."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
