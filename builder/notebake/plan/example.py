"""The commented notebake.toml that `notebake init` writes."""

from __future__ import annotations

import json

from notebake.plan.spec import DEFAULT_PACKAGES

_TEXT = """\
# What every notebook machine is made of. `notebake schema` prints each field with its meaning.

# Python packages; after a change: notebake lock
packages = {packages}

# Who logs in by ssh and runs the server, never root.
user = "azureuser"

# Where packages come from: "host" for what this computer uses (with the CA certificates that its
# administrator added), or a table [mirrors] with apt, zypper, python and ca_certificates.
{mirrors}

[notebook]
# Absolute, or below the user's home.
folder = "notebooks"
port = 9999
profile = "nbserver"
pylab = "inline"
# argon2id hash; `notebake passwd` sets it. Without one, each machine makes a token at its first boot
# and shows it on its console.
{password}
# Notebooks to put into the folder of each machine.
preload = []

[certificate]
# Each machine makes its own, for all its names and addresses. More of them:
names = []
# Or your own (PEM, with its issuers after it); the key is copied by `notebake launch` and is never in an image or user-data.
# certificate = "site.pem"
# key = "site.key"

# For a bake of Windows: Microsoft's ISO (a file or URL), its SHA-256, and the ISO of virtio-win 0.1.271.
# [windows]
# iso = "windows-server-2025-eval.iso"
# iso_sha256 = "..."
# virtio_win = "virtio-win-0.1.271.iso"

[endpoint]
name = "ipython_nb"
public_port = 443
"""


def text(*, password: str | None, mirrors: str | None) -> str:
    """The file's text with a password hash, or without one."""
    return _TEXT.format(
        packages=json.dumps(list(DEFAULT_PACKAGES)),
        mirrors=f'mirrors = "{mirrors}"' if mirrors else '# mirrors = "host"',
        password=f'password = "{password}"' if password else '# password = "argon2:..."',
    )
