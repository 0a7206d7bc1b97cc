"""The plan: a spec and a target with every default filled in, every file read, every pin resolved.

What comes after is pure: the same plan renders to the same bytes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from notebake import lock as locks
from notebake import mirrors
from notebake.errors import SpecError
from notebake.lock import Lock
from notebake.mirrors import Sources
from notebake.spec import Spec
from notebake.targets import Target
from notebake.windows import names


# eq=False: a plan is itself and no other, so that what was rendered from it can be kept.
@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """`notebooks`: (file name, bytes) to preload. `own_certificate`: PEM chain or None for self-signed."""

    spec: Spec
    target: Target
    lock: Lock
    sources: Sources
    notebooks: tuple[tuple[str, bytes], ...]
    own_certificate: bytes | None


def _notebook(path: Path) -> tuple[str, bytes]:
    try:
        data = path.read_bytes()
        content = json.loads(data)
    except FileNotFoundError:
        raise SpecError(f"notebook.preload: {path}: no such file") from None
    except (OSError, ValueError) as error:
        raise SpecError(f"notebook.preload: {path}: not a notebook: {error}") from None
    if not isinstance(content, dict) or "cells" not in content:
        raise SpecError(f"notebook.preload: {path}: not a notebook: it has no cells")
    return path.name, data


def read_key(spec: Spec, folder: Path) -> bytes | None:
    """The private key of the user's own certificate (PEM bytes), checked to belong to it; None without one.

    Only `launch` asks for it, to copy it to the machine. Raises SpecError.
    """
    own = spec.certificate
    if own.certificate is None or own.key is None:
        return None
    try:
        pem = (folder / own.key).read_bytes()
        key = load_pem_private_key(pem, None)
        chain = x509.load_pem_x509_certificate((folder / own.certificate).read_bytes())
    except FileNotFoundError as error:
        raise SpecError(f"certificate: {error.filename}: no such file") from None
    except (OSError, ValueError, TypeError) as error:
        raise SpecError(f"certificate: {own.key}: not a PEM pair without a passphrase: {error}") from None
    if key.public_key() != chain.public_key():
        raise SpecError(f"certificate.key: {own.key} does not belong to {own.certificate}")
    return pem


def _own_certificate(spec: Spec, folder: Path) -> bytes | None:
    if spec.certificate.certificate is None:
        return None
    path = folder / spec.certificate.certificate
    read_key(spec, folder)
    data = path.read_bytes()
    if b"PRIVATE KEY" in data:
        raise SpecError(
            f"certificate.certificate: {path} holds a private key",
            "put the certificates alone into this file: it is rendered, the key must not be",
        )
    return data


def make(spec: Spec, target: Target, folder: Path) -> Plan:
    """The plan for `spec` (whose file is in `folder`) on `target`. Reads files; raises SpecError."""
    if target.family == "windows":
        names.check_spec(spec)
    return Plan(
        spec=spec,
        target=target,
        lock=locks.load(spec, target, folder),
        sources=mirrors.resolve(spec.mirrors, folder),
        notebooks=tuple(sorted(_notebook(folder / item) for item in spec.notebook.preload)),
        own_certificate=_own_certificate(spec, folder),
    )
