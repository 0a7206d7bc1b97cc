"""The commented notebake.toml that `notebake init` writes."""

from __future__ import annotations

import json

from notebake.plan.spec import DEFAULT_PACKAGES

_TEXT = """\
# Describes every notebook machine. `notebake schema` prints all fields with their descriptions.

# Python packages. After a change, run: notebake lock
packages = {packages}

# The targets that a CI workflow (`notebake ci`) renders and bakes.
# targets = ["debian-13"]

# The user that runs the server and logs in over ssh; never root.
user = "azureuser"

# Package sources: "host" for the sources of this host, with the CA certificates that its administrator
# added; or a table [mirrors] with apt, zypper, python and ca_certificates.
{mirrors}

[notebook]
# Folder of the notebooks: absolute, or relative to the user's home.
folder = "notebooks"
port = 9999
profile = "nbserver"
pylab = "inline"
# argon2id hash, set by `notebake passwd`. Without a password, each machine generates a token at its first
# boot and prints it on its console.
{password}
# Notebooks to copy to the folder on each machine.
preload = []

[certificate]
# By default each machine generates a certificate for all its names and addresses. Additional names:
names = []
# Or use your own certificate (PEM, followed by its issuers). `notebake launch` copies the key to the
# machine; the key is never in an image or in user-data.
# certificate = "site.pem"
# key = "site.key"

# Updates that each machine installs by itself: "security", "all" or "none". They never restart the server.
# [updates]
# automatic = "security"
# reboot = "04:00"

# Your own software: packages of the distribution, files, scripts.
# [image]
# os_packages = ["git"]
# [[image.files]]
# source = "motd"
# path = "/etc/motd"
# [[image.run]]
# script = "setup.sh"

# Another base image: a mirror's, your own. `notebake lock --bases` takes the projects' newest.
# [base."ubuntu-24.04"]
# file = "hardened.qcow2"
# sha256 = "..."

# To bake Windows: Microsoft's ISO (file or URL), its SHA-256, and the virtio-win 0.1.271 ISO.
# [windows]
# iso = "windows-server-2025-eval.iso"
# iso_sha256 = "..."
# virtio_win = "virtio-win-0.1.271.iso"

# Machines in AWS (`notebake launch --on aws`). Credentials are boto3's, never here.
# [aws]
# region = "eu-central-1"
# size = "t3.small"
# allow = ["198.51.100.0/24"]

[endpoint]
name = "ipython_nb"
public_port = 443
"""


def text(*, password: str | None, mirrors: str | None) -> str:
    """Return the text of the file, with the password hash `password` if it is not None."""
    return _TEXT.format(
        packages=json.dumps(list(DEFAULT_PACKAGES)),
        mirrors=f'mirrors = "{mirrors}"' if mirrors else '# mirrors = "host"',
        password=f'password = "{password}"' if password else '# password = "argon2:..."',
    )
