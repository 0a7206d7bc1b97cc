"""The base image in effect: the spec's, else the lock's, else the target's own."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from notebake.errors import SpecError
from notebake.files import sha256
from notebake.plan import base_lock, disk_image
from notebake.plan.spec import Spec
from notebake.plan.spec_base import Base
from notebake.plan.targets import Download, Target, names


def apply(spec: Spec, target: Target, folder: Path) -> Target:
    """Return `target` with the base image for `spec` in `folder`. Reads files. Raises SpecError."""
    known = names(target.folder.parent)
    if unknown := [name for name in spec.base if name not in known]:
        raise SpecError(f"base.{unknown[0]}: no such target", f"the targets are: {', '.join(known)}")
    base: Download | None = None
    if target.name in spec.base:
        base = _named(spec.base[target.name], target, folder)
    elif isinstance(target.base, Download):
        base = base_lock.load(target, folder)
    return target.model_copy(update={"base": base}) if base else target


def _named(given: Base, target: Target, folder: Path) -> Download:
    field = f"base.{target.name}"
    if target.is_windows:
        raise SpecError(
            f"{field}: Windows is installed from its ISO", "name the ISO in [windows] iso and iso_sha256"
        )
    digest, date, url = given.sha256, None, given.url
    if given.file is not None:
        path = folder / given.file
        digest, date = _read(path, given.sha256, f"{field}.file")
        url = path.absolute().as_uri()
    assert url is not None
    signed = target.base.signed_at(url) if given.signed and isinstance(target.base, Download) else None
    if given.signed and signed is None:
        raise SpecError(
            f"{field}.signed: notebake knows no key for images of {target.title}", "name their sha256 instead"
        )
    return Download(kind="download", url=url, sha256=digest, signed=signed, date=date)


def _read(path: Path, expected: str | None, field: str) -> tuple[str, str]:
    """Return the SHA-256 of an image and the day on which it was last changed. Raises SpecError."""
    hint = "the path is relative to the folder of notebake.toml"
    try:
        if path.exists() and not path.is_file():
            raise SpecError(f"{field}: {path}: not a file", hint)
        disk_image.check(path, field)
        digest = sha256(path)
        changed = datetime.fromtimestamp(path.stat().st_mtime, UTC).date().isoformat()
    except FileNotFoundError:
        raise SpecError(f"{field}: {path}: no such file", hint) from None
    except (OSError, ValueError) as error:
        raise SpecError(f"{field}: {path}: cannot be read: {error}", hint) from None
    if expected not in (None, digest):
        raise SpecError(
            f"{field}: {path}: SHA-256 is {digest}, expected {expected}",
            "the file is incomplete or another image: copy it again, or correct sha256",
        )
    return digest, changed
