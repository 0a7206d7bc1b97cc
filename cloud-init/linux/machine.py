"""What every step of the set-up uses: where things are, how they are said, run and written."""

import collections
import os
import subprocess
from pathlib import Path

GUEST = Path(__file__).resolve().parent
HOME = Path("/opt/notebake")
STATE = Path("/var/lib/notebake")
CA_BUNDLE = HOME / "ca.pem"


def say(text):
    print(f"notebake: {text}", flush=True)
    try:
        with open("/dev/console", "w") as console:
            console.write(f"notebake: {text}\n")
    except OSError:
        pass


def run(*argv, **env):
    """Its output goes to the journal; a failure is told with the last lines of it."""
    last = collections.deque(maxlen=6)
    pipe = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(argv, env={**os.environ, **env}, text=True, errors="replace", **pipe) as program:
        for line in program.stdout:
            print(line, end="", flush=True)
            if line.strip():
                last.append(line.strip())
    if program.returncode:
        raise SystemExit(f"{argv[0]}: exit code {program.returncode}: {' | '.join(last)}")


def write(path, data, mode=0o644, owner=None):
    """Whole or not at all: beside, synced, renamed. Unchanged bytes stay as they are."""
    data = data.encode() if isinstance(data, str) else data
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)
        if owner:
            os.fchown(file.fileno(), *owner)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
