"""Where packages come from: the spec's mirrors, or those this computer uses (`mirrors = "host"`)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from notebake.errors import SpecError
from notebake.plan.spec import Mirrors

# Where Debian, Ubuntu and openSUSE keep the certificates that an administrator added.
_HOST_CA_FOLDERS = (Path("/usr/local/share/ca-certificates"), Path("/etc/pki/trust/anchors"))


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Resolved package sources. `ca_certificates`: PEM texts, one certificate each, in order.

    `apt` and `zypper` None: what the release itself has configured.
    """

    apt: str | None
    zypper: str | None
    python: str
    ca_certificates: tuple[str, ...]


def default_python_index() -> str:
    """The index pip uses when nobody configured one."""
    from pip._internal.models.index import PyPI

    return str(PyPI.simple_url)


def _certificates(path: Path, field: str) -> list[str]:
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except FileNotFoundError:
        raise SpecError(f"{field}: {path}: no such file") from None
    except (OSError, ValueError) as error:
        raise SpecError(f"{field}: {path}: not a PEM certificate: {error}") from None
    return [certificate.public_bytes(Encoding.PEM).decode() for certificate in found]


def _without_secret(url: str, field: str) -> str:
    if urlsplit(url).password or urlsplit(url).username:
        raise SpecError(
            f"{field}: the host's URL has a user or password in it, which would be rendered in plain text",
            "name the mirrors in [mirrors] without it",
        )
    return url


@cache
def _pip_index() -> str:
    """What pip is configured with; asked once, as it takes pip half a second."""
    asked = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.index-url"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    return asked.stdout.strip() or default_python_index()


def _host_python() -> str:
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"):
        if os.environ.get(name):
            return os.environ[name]
    return _pip_index()


def _host_apt() -> str | None:
    """The mirror of the host's own release; None where the host is no Debian."""
    try:
        codename = re.search(r"^VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text(), re.M)
    except OSError:
        return None
    if codename is None:
        return None
    for path in [*sorted(Path("/etc/apt/sources.list.d").glob("*.sources")), Path("/etc/apt/sources.list")]:
        text = path.read_text() if path.is_file() else ""
        if path.suffix == ".sources":
            for stanza in re.split(r"\n\s*\n", text):
                if re.search(rf"^Suites:.*\b{codename[1]}\b", stanza, re.M):
                    found = re.search(r"^URIs:\s*(\S+)", stanza, re.M)
                    if found:
                        return found[1]
        found = re.search(rf"^deb\s+(?:\[[^]]*\]\s*)?(\S+)\s+{codename[1]}\s", text, re.M)
        if found:
            return found[1]
    return None


def resolve(mirrors: Mirrors | str, folder: Path) -> Sources:
    """Sources for a spec in `folder`. Reads files, and for "host" this computer's configuration.

    Raises SpecError for a missing or broken CA file, or a mirror URL that carries a password.
    """
    if isinstance(mirrors, Mirrors):
        pems = [
            pem
            for name in mirrors.ca_certificates
            for pem in _certificates(folder / name, "mirrors.ca_certificates")
        ]
        return Sources(
            apt=mirrors.apt,
            zypper=mirrors.zypper,
            python=mirrors.python or default_python_index(),
            ca_certificates=tuple(dict.fromkeys(pems)),
        )
    pems = [
        pem
        for root in _HOST_CA_FOLDERS
        for path in sorted(root.rglob("*"))
        if path.suffix in (".crt", ".pem") and path.is_file()
        for pem in _certificates(path, "mirrors")
    ]
    apt = _host_apt()
    return Sources(
        apt=_without_secret(apt, "mirrors") if apt else None,
        zypper=None,
        python=_without_secret(_host_python(), "mirrors"),
        ca_certificates=tuple(dict.fromkeys(pems)),
    )
