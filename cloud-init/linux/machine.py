"""What every set-up step uses: print to the console, run a program, write a file."""

import collections
import os
import subprocess


def say(text):
    """Print `text` to the journal and to the machine's console."""
    print(f"notebake: {text}", flush=True)
    try:
        with open("/dev/console", "w") as console:
            console.write(f"notebake: {text}\n")
    except OSError:
        pass


def run(*argv, **env):
    """Run a program and print its output. SystemExit with its last lines if it fails."""
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
    """Write `data` (bytes or text) to `path` atomically, and sync it."""
    data = data.encode() if isinstance(data, str) else data
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)
        if owner:
            os.fchown(file.fileno(), *owner)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
