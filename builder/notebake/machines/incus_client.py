"""Run the `incus` client; what it prints on a failure becomes an error with a hint.

Nothing secret is in its arguments: configuration goes through its standard input.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from notebake import process
from notebake.errors import CommandFailed, MissingTool, NotebakeError, SpecError

_SECONDS = 30.0  # for an answer; a remote that is away must not hang us

DAEMON = next(
    (each for each in ("/usr/libexec/incus/incusd", "/usr/lib/incus/incusd") if Path(each).exists()), "incusd"
)
# Where systemd is not PID 1, as in CI's containers, nobody else starts it.
_START = (
    "sudo systemctl start incus"
    if Path("/run/systemd/system").is_dir()
    else f"as root, start it: lxcfs /var/lib/lxcfs & {DAEMON} --group incus-admin &"
)
_SET_UP = "set Incus up once: sudo incus admin init --minimal"
# What the client prints -> the error's class, our message, the hint. {remote} is filled in.
_FAULTS: tuple[tuple[str, type[NotebakeError], str, str], ...] = (
    (
        "daemon doesn't appear to be started|connect: no such file|unix.socket: connect: connection refused",
        CommandFailed, "Incus: its daemon does not run", _START,
    ),
    (
        "needed permissions to talk|unix.socket: connect: permission denied",
        MissingTool, "Incus: this user may not use its daemon",
        "sudo usermod -aG incus-admin $USER, then log in again; or use sudo",
    ),
    ("remote \"[^\"]*\" doesn't exist", SpecError, "remote {remote}: the incus client knows no such remote",
     "incus remote list; incus remote add NAME URL"),
    ("Project not found", SpecError, "project: there is no such project on {remote}",
     "incus project list {remote}:"),
    ("Profile not found", SpecError, "profile: there is no such profile on {remote}",
     "incus profile list {remote}:"),
    ("(?i)cluster member.*not found|member .* not found|Cluster target .* not|server isn.t part of a cluster"
     "|server isn.t clustered|not part of a cluster", SpecError,
     "target: {remote} has no such cluster member", "incus cluster list {remote}:"),
    ("(?i)no space left on device|disk quota exceeded|out of disk space", CommandFailed,
     "Incus: no free disk in its storage pool",
     "incus storage info POOL {remote}:; delete machines or images that are not needed"),
    ("(?i)No root device|no storage pool", SpecError, "Incus: its profile has no root disk", _SET_UP),
    ("(?i)not authorized|certificate is not trusted|Certificate fingerprint mismatch|Missing TLS client",
     MissingTool, "remote {remote}: does not trust this client",
     "incus config trust add NAME there, then incus remote add here"),
    ("(?i)dial tcp|connection refused|no route to host|i/o timeout|TLS handshake|context deadline|EOF"
     "|reset by peer|no such host|missing event connection|websocket", CommandFailed,
     "remote {remote}: does not answer", "check that it runs and can be reached: incus info {remote}:"),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Server:
    """A daemon: the client's name for it, a project on it, its host name (None: this host)."""

    remote: str
    project: str
    host: str | None
    clustered: bool
    machines: bool

    def at(self, what: str) -> str:
        """Return the client's name of an instance or image here."""
        return f"{self.remote}:{what}"


def run(
    argv: Sequence[str | Path],
    *,
    project: str | None = None,
    stdin: bytes | None = None,
    seconds: float = _SECONDS,
) -> process.Completed:
    """Run the client and accept any exit code. Raises MissingTool, or CommandFailed after `seconds`."""
    env = {name: value for name, value in os.environ.items() if name.startswith("INCUS_")}
    chosen = ["--project", project] if project else []
    return process.run(["incus", *argv, *chosen], timeout=seconds, stdin=stdin or b"", env=env, check=False)


def call(
    argv: Sequence[str | Path],
    *,
    remote: str,
    project: str | None = None,
    stdin: bytes | None = None,
    seconds: float = _SECONDS,
) -> str:
    """Return what the client prints. Raises SpecError, MissingTool or CommandFailed."""
    done = _answered(argv, remote=remote, project=project, stdin=stdin, seconds=seconds)
    output = done.stdout.decode("utf-8", "replace")
    if done.returncode != 0:
        raise failure(output, remote)
    return output


def _answered(argv: Sequence[str | Path], *, remote: str, **settings: Any) -> process.Completed:
    try:
        return run(argv, **settings)
    except CommandFailed as error:
        raise CommandFailed(
            f"remote {remote}: {error.message.removeprefix('incus: ')}", f"does it run? incus info {remote}:"
        ) from None


def query(
    path: str, *, remote: str, project: str | None = None, more: str = "", absent: str | None = None
) -> Any:
    """Return the API's answer to GET /1.0`path`. Raises as `call`.

    None if it is an error that the regular expression `absent` finds.
    """
    words = [more] if more else []
    words += [f"project={quote(project, safe='')}"] if project else []
    question = "?" + "&".join(words) if words else ""
    done = _answered(["query", f"{remote}:/1.0{path}{question}"], remote=remote)
    text = done.stdout.decode("utf-8", "replace")
    if done.returncode != 0:
        if absent and re.search(absent, text):
            return None
        raise failure(text, remote)
    # A client that runs for the first time greets its user before.
    start = re.search(r"^[\[{]", text, re.MULTILINE)
    return json.loads(text[start.start() :]) if start else None


def failure(output: str, remote: str) -> NotebakeError:
    """Return the error for what the client printed when it failed."""
    for pattern, kind, message, hint in _FAULTS:
        if re.search(pattern, output):
            return kind(message.format(remote=remote), hint.format(remote=remote))
    lines = [line for line in output.splitlines() if line.strip()]
    said = next((line for line in lines if line.startswith("Error: ")), process.tail(output.encode(), 1))
    return CommandFailed(f"Incus: {said.removeprefix('Error: ')}", f"incus info {remote}: shows the server")


def server(remote: str | None, project: str | None) -> Server:
    """Return the server that is asked for, by default the client's own default. Raises as `call`."""
    known = json.loads(_last_line(call(["remote", "list", "--format", "json"], remote="local")))
    name = remote or os.environ.get("INCUS_REMOTE")
    name = (name or _last_line(call(["remote", "get-default"], remote="local"))).removesuffix(":")
    found = known.get(name)
    if found is None:
        raise failure(f'remote "{name}" doesn\'t exist', name)
    if found["Protocol"] != "incus":
        raise SpecError(f"remote {name}: has images, but runs no machines", "incus remote list")
    chosen = project or os.environ.get("INCUS_PROJECT") or found.get("Project") or "default"
    facts = query("", remote=name)
    if facts["auth"] != "trusted":
        raise failure("not authorized", name)
    query(f"/projects/{quote(chosen, safe='')}", remote=name)
    return Server(
        remote=name,
        project=chosen,
        host=None if found["Addr"].startswith("unix:") else urlsplit(found["Addr"]).hostname,
        clustered=bool(facts["environment"]["server_clustered"]),
        machines="qemu" in facts["environment"]["driver"],
    )


def describe(remote: str = "local") -> str:
    """Return what the daemon of `remote` runs, for a user. Raises SpecError, MissingTool or CommandFailed."""
    facts = query("", remote=remote)["environment"]
    devices = (query("/profiles/default", remote=remote)["devices"] or {}).values()
    if {"nic", "disk"}.difference(each["type"] for each in devices):
        raise CommandFailed("Incus: the default profile has no network or no root disk", _SET_UP)
    kinds = "containers and virtual machines" if "qemu" in facts["driver"] else "containers"
    return f"{facts['server_version']}, {kinds}"


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1]
