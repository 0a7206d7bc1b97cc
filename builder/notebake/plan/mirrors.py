"""Where packages come from: the spec's mirrors, or those that the host uses (`mirrors = "host"`)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from notebake import urls
from notebake.errors import SpecError
from notebake.plan import host_apt
from notebake.plan.host_apt import HostApt
from notebake.plan.spec_mirrors import SCHEMES, Mirrors, check_proxy
from notebake.plan.targets import Apt

# Where Debian, Ubuntu and openSUSE keep the certificates that an administrator added.
_HOST_CA_FOLDERS = (Path("/usr/local/share/ca-certificates"), Path("/etc/pki/trust/anchors"))


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Resolved package sources. `ca_certificates`: PEM texts, one certificate each, in order.

    `apt` is the mirror, `apt_lines` the whole sources.list. None, empty or `zypper` None: what the release
    itself has configured. `proxy`: http_proxy, https_proxy, no_proxy as programs read them, or empty.
    `notes`: messages on what of the host is not used and why.
    """

    apt: str | None
    apt_lines: tuple[str, ...]
    zypper: str | None
    python: str
    ca_certificates: tuple[str, ...]
    proxy: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def default_python_index() -> str:
    """Return the index that pip uses by default."""
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


def _checked(url: str, field: str) -> str:
    """Return the host's `url`. Raises SpecError for what is no URL for a machine, or has a secret in it."""
    try:
        urls.parse(url, schemes=SCHEMES, query=True)
    except ValueError as error:
        raise SpecError(
            f"{field}: the host's URL {str(error).replace('must not contain', 'has')}",
            "name it in [mirrors], without a user or password, or one of your own network that logs in by "
            "itself",
        ) from None
    return url


@cache
def _pip_index() -> str:
    """Return the index that pip is configured with; cached, because pip takes half a second."""
    asked = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.index-url"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    return asked.stdout.strip() or default_python_index()


def _host_python() -> str:
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"):
        # uv takes NAME=URL; the name is uv's alone.
        url = re.sub(r"^[A-Za-z0-9._-]+=(?=[a-z]+:)", "", os.environ.get(name, "").strip())
        if url:
            return _checked(url, name)
    return _checked(_pip_index(), "pip's global.index-url")


def apt_lines(facts: Apt, archive: str, security: str | None, components: tuple[str, ...]) -> tuple[str, ...]:
    """Return the lines of sources.list: the release, its updates and its security updates."""
    option = f"[signed-by={facts.keyring}] " if facts.keyring else ""
    return tuple(
        f"deb {option}{url} {suite} {' '.join(components or facts.components)}"
        for url, suite in (
            (archive, facts.suite),
            (archive, f"{facts.suite}-updates"),
            (security or facts.security or archive, f"{facts.suite}-security"),
        )
    )


def _named(mirrors: Mirrors, folder: Path, facts: Apt | None) -> Sources:
    """Return the sources that a table [mirrors] names."""
    named = mirrors.apt or mirrors.apt_security or mirrors.apt_components
    archive = (mirrors.apt or facts.archive) if facts and named else None
    return Sources(
        apt=archive,
        apt_lines=apt_lines(facts, archive, mirrors.apt_security, mirrors.apt_components)
        if facts and archive
        else (),
        zypper=mirrors.zypper,
        python=mirrors.python or default_python_index(),
        proxy=_variables({"http_proxy": mirrors.proxy, "https_proxy": mirrors.proxy}, mirrors.no_proxy)
        if mirrors.proxy
        else {},
        ca_certificates=tuple(
            dict.fromkeys(
                pem
                for name in mirrors.ca_certificates
                for pem in _certificates(folder / name, "mirrors.ca_certificates")
            )
        ),
    )


def _host(facts: Apt | None) -> Sources:
    """Return the sources that the host uses."""
    apt = host_apt.read(facts.distribution) if facts else HostApt()
    own = f"{apt.note}; the release's own sources are used" if apt.note else None
    proxy, unusable = _host_proxy()
    for url in filter(None, (apt.archive, apt.security)):
        _checked(url, "mirrors")
    return Sources(
        apt=apt.archive,
        apt_lines=apt_lines(facts, apt.archive, apt.security, ()) if facts and apt.archive else (),
        zypper=None,
        python=_host_python(),
        ca_certificates=tuple(
            dict.fromkeys(
                pem
                for root in _HOST_CA_FOLDERS
                for path in sorted(root.rglob("*"))
                if path.suffix in (".crt", ".pem") and path.is_file()
                for pem in _certificates(path, "mirrors")
            )
        ),
        proxy=proxy,
        notes=tuple(note for note in (own, unusable) if note),
    )


def _variables(proxies: Mapping[str, str], direct: Sequence[str]) -> dict[str, str]:
    """Return the variables that programs read; a machine reaches itself without a proxy."""
    return {**proxies, "no_proxy": ",".join(dict.fromkeys(("localhost", "127.0.0.1", "::1", *direct)))}


def _host_proxy() -> tuple[dict[str, str], str | None]:
    """Return the host's proxies, and what of them no machine can use."""
    proxies, unusable = {}, None
    for name in ("http_proxy", "https_proxy"):
        url = _variable(name)
        if not url:
            continue
        url = url if "://" in url else f"http://{url}"
        if "@" in url:
            _checked(url, name)
        if _is_reachable_proxy(url):
            proxies[name] = url
        else:
            unusable = f"the host's {name} {url}: no http proxy that a machine can reach, so it is not used"
    direct = [name.strip() for name in _variable("no_proxy").split(",")]
    return (_variables(proxies, [name for name in direct if name]) if proxies else {}), unusable


def _is_reachable_proxy(url: str) -> bool:
    try:
        check_proxy(url)
    except ValueError:
        return False
    return urlsplit(url).hostname not in ("localhost", "127.0.0.1", "::1")


def _variable(name: str) -> str:
    return (os.environ.get(name) or os.environ.get(name.upper()) or "").strip()


def resolve(mirrors: Mirrors | str, folder: Path, facts: Apt | None = None) -> Sources:
    """Return the sources for a spec in `folder`, on a target with the apt archive `facts`.

    Reads files, and for "host" the host's configuration. Raises SpecError for a missing or broken CA
    file, or a mirror URL that contains a password.
    """
    return _named(mirrors, folder, facts) if isinstance(mirrors, Mirrors) else _host(facts)
