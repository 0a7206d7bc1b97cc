"""Install the service, its folders and Jupyter's files. Run by setup.ps1; can be repeated."""

import json
import shutil
import subprocess
import sys

import access
import jupyter_settings
from paths import ACCOUNT, CONFIG, DATA, GUEST, HOME, LOG, SERVICE, TLS

LOG_BYTES = 10 * 1024 * 1024
STOP_MS = 15_000
RESTART_MS = 2_000
NSSM = HOME / "nssm.exe"


def run(argv, accept=(0,)):
    """Run a program and return its exit code. SystemExit with its output if the code is not in `accept`."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode not in accept:
        text = done.stdout.decode("utf-16-le" if b"\0" in done.stdout else "utf-8", "replace").strip()
        sys.exit(f"{' '.join(map(str, argv))}: exit code {done.returncode}: {text}")
    return done.returncode


def write(path, text):
    """Write `text` to `path` atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.write_text(text, "utf-8")
    new.replace(path)


def service_commands(nssm, python, guest, log, present):
    """Return the calls that install and configure the service. `present`: it is already installed."""
    settings = {
        "Application": [python],
        "AppDirectory": [guest],
        # Relative to AppDirectory: a path with a space would need quotes within an argument.
        "AppParameters": ["service.py"],
        "DisplayName": ["notebake notebook"],
        "Start": ["SERVICE_AUTO_START"],
        "AppStdout": [log],
        "AppStderr": [log],
        "AppRotateFiles": ["1"],
        "AppRotateOnline": ["1"],
        "AppRotateBytes": [str(LOG_BYTES)],
        "AppExit": ["Default", "Restart"],
        "AppRestartDelay": [str(RESTART_MS)],
        # Ctrl-C stops Jupyter and its kernels. What still runs after that is killed with its children.
        "AppStopMethodConsole": [str(STOP_MS)],
        "AppKillProcessTree": ["1"],
    }
    install = [] if present else [[nssm, "install", SERVICE, python]]
    # Not with NSSM: release 2.24 asks for a password, which a virtual account does not have.
    restarts = "restart/5000/restart/5000/restart/60000"
    account = [
        ["sc.exe", "config", SERVICE, "obj=", ACCOUNT],
        ["sc.exe", "failure", SERVICE, "reset=", "3600", "actions=", restarts],
        ["sc.exe", "sidtype", SERVICE, "unrestricted"],
    ]
    return [*install, *([nssm, "set", SERVICE, key, *value] for key, value in settings.items()), *account]


def service(env):
    """Install or update the service, and leave it stopped. nssm.exe must outlive the environment: copy it."""
    # 1060: no such service.
    present = run(["sc.exe", "query", SERVICE], accept=(0, 1060)) == 0
    if present:
        run([str(NSSM), "stop", SERVICE], accept=(0, 1))
    shutil.copyfile(env / "Scripts" / "nssm.exe", NSSM)
    python = env / "Scripts" / "python.exe"
    for argv in service_commands(str(NSSM), str(python), str(GUEST), str(LOG), present):
        run(argv)


def remove_unused(env):
    """Remove the environments that the service does not use, except files that are still open."""
    for path in HOME.glob("env-*"):
        if path != env:
            shutil.rmtree(path, ignore_errors=True)


def folders():
    """Make the folders and set their permissions. Runs after `service`, which creates the account."""
    for path in (CONFIG, LOG.parent, TLS, DATA):
        path.mkdir(parents=True, exist_ok=True)
    access.only_service(GUEST, access.READ)
    access.only_service(CONFIG, access.READ)
    access.only_service(LOG.parent, access.MODIFY)
    access.only_service(DATA, access.MODIFY)


def jupyter(config, env):
    """Write the kernel, its profile, the server's settings and the preloaded notebooks."""
    name = config["profile"]
    kernel = env / "share" / "jupyter" / "kernels" / name / "kernel.json"
    write(kernel, jupyter_settings.kernel([str(env / "Scripts" / "python.exe")], name, {}))
    write(DATA / "ipython" / f"profile_{name}" / "ipython_kernel_config.py", jupyter_settings.profile(config))
    notebooks = DATA / config["folder"]
    notebooks.mkdir(parents=True, exist_ok=True)
    for source in sorted((GUEST / "notebooks").rglob("*")):
        target = notebooks / source.relative_to(GUEST / "notebooks")
        if source.is_dir():
            target.mkdir(exist_ok=True)
        elif not target.exists():
            shutil.copyfile(source, target)
    for path, text in jupyter_settings.page().items():
        write(CONFIG / path, text)
    server = jupyter_settings.server(config, notebooks, TLS)
    # In a service nobody answers "Shut down this notebook server (y/[n])?" after Ctrl-C.
    server["ServerApp"]["answer_yes"] = True
    write(CONFIG / "jupyter_server_config.json", json.dumps(server, indent=1))


def main(env):
    config = json.loads((GUEST / "config.json").read_text("utf-8"))
    service(env)
    remove_unused(env)
    folders()
    jupyter(config, env)


if __name__ == "__main__":
    from pathlib import Path

    main(Path(sys.argv[1]))
