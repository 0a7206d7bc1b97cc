"""The ssh key pair of one machine, made before its seed is rendered so that the seed can name it."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from notebake import files

KEY = "id_ed25519"


def new_key(folder: Path) -> str:
    """Write a new ed25519 key pair into `folder` (private 0600, OpenSSH format).

    Returns the public key's line, with comment and without a newline. Raises CommandFailed.
    """
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode() + " notebake"
    files.write_whole(folder / KEY, private, 0o600)
    files.write_whole(folder / f"{KEY}.pub", f"{public}\n".encode())
    return public
