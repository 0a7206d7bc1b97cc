"""What every set-up step uses: print to the console, run a program, write a file."""

import collections
import os
import pwd
import subprocess
import traceback


def console(text):
    """Print `text` on the machine's console."""
    try:
        with open("/dev/console", "w") as file:
            file.write(f"notebake: {text}\n")
    except OSError:
        pass


def say(text):
    """Print `text` to the journal and on the machine's console."""
    print(f"notebake: {text}", flush=True)
    console(text)


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


def as_user(name, work):
    """Call `work` in a process of the user `name`, who may have put links into its home. SystemExit."""
    account = pwd.getpwnam(name)
    reader, writer = os.pipe()
    process = os.fork()
    if not process:
        try:
            os.initgroups(name, account.pw_gid)
            os.setgid(account.pw_gid)
            os.setuid(account.pw_uid)
            os.environ["HOME"] = account.pw_dir
            work()
            os._exit(0)
        except BaseException as error:
            traceback.print_exc()
            os.write(writer, str(error).encode()[:4096])
        finally:
            os._exit(1)
    os.close(writer)
    with open(reader, errors="replace") as file:
        problem = file.read()
    if os.waitpid(process, 0)[1]:
        raise SystemExit(f"as {name}: {problem}")


def write(path, data, mode=0o644):
    """Write `data` (bytes or text) to `path` atomically, and sync it."""
    data = data.encode() if isinstance(data, str) else data
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
