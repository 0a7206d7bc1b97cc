"""ssh into a machine: its key pair, and the one command line that logs in with it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from notebake import files, process


def new_key(path: Path) -> str:
    """Write a new Ed25519 private key (0600, OpenSSH format) at `path`, the public one beside it as .pub.

    Return the public key's line, with a comment and without a newline. Raises CommandFailed.
    """
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode() + " notebake"
    files.write_whole(path, private, 0o600)
    files.write_whole(path.with_name(f"{path.name}.pub"), f"{public}\n".encode())
    return public


@dataclass(frozen=True, kw_only=True)
class Ssh:
    """How to log in: the machine's own key, and the file that pins its host keys at the first login."""

    host: str
    port: int
    user: str
    key: Path
    known_hosts: Path

    def argv(self, command: str = "") -> list[str]:
        """Return the command line that runs `command` in the machine's shell, or logs in without one.

        No key, agent or configuration of the caller's is used. Raises MissingTool.
        """
        # ssh expands %x in both paths, and splits this option's value at spaces.
        known_hosts = str(self.known_hosts).replace("%", "%%")
        options = {
            "BatchMode": "yes",
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "StrictHostKeyChecking": "accept-new",
            "UserKnownHostsFile": f'"{known_hosts}"',
            "ConnectTimeout": "20",
            "ServerAliveInterval": "5",
            "ServerAliveCountMax": "6",
            "LogLevel": "ERROR",
        }
        return [
            str(process.which("ssh")),
            *("-F", "none"),
            *("-i", str(self.key).replace("%", "%%")),
            *("-p", str(self.port)),
            *("-l", self.user),
            *(word for name, value in options.items() for word in ("-o", f"{name}={value}")),
            *("--", self.host),
            *([command] if command else []),
        ]

    def run(
        self, argv: Sequence[str], timeout: float, *, stdin: bytes | None = None, check: bool = False
    ) -> process.Completed:
        """Run `argv` as it is in the machine, for at most `timeout` seconds; 255: ssh itself failed."""
        return process.run(self.argv(shlex.join(argv)), timeout=timeout, stdin=stdin, check=check)
