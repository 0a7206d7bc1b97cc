"""Base images: the disk or root filesystem that a target starts from, built or downloaded once and cached."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime
from pathlib import Path

from notebake import paths
from notebake.bases import mmdebstrap, web
from notebake.errors import SpecError
from notebake.plan.plan import Plan
from notebake.plan.targets import Download, Mmdebstrap
from notebake.progress import Steps


def base_id(plan: Plan) -> str:
    """Return the SHA-256 (hex) over the base image's inputs: settings, files and package sources."""
    digest = hashlib.sha256(
        json.dumps(plan.target.model_dump(mode="json", include={"base"}), sort_keys=True).encode()
    )
    if isinstance(plan.target.base, Mmdebstrap):
        digest.update("\n".join(plan.sources.apt_lines).encode())
        for path in sorted((plan.target.folder / "base").rglob("*")):
            if path.is_file():
                digest.update(f"{path.relative_to(plan.target.folder)}\0{path.stat().st_mode}\0".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()


def date(plan: Plan) -> str | None:
    """Return the day (YYYY-MM-DD) on which the base image was made or published; None if it is not known."""
    base = plan.target.base
    if isinstance(base, Mmdebstrap):
        path = _root_path(plan)
        return datetime.fromtimestamp(path.stat().st_mtime, UTC).date().isoformat() if path.exists() else None
    if isinstance(base, Download) and (serial := re.search(r"(20\d\d)([01]\d)([0-3]\d)", base.url)):
        return "-".join(serial.groups())
    return None


def _root_path(plan: Plan) -> Path:
    return paths.cache_folder() / "bases" / f"{plan.target.name}-{base_id(plan)[:12]}.tar.zst"


def _mmdebstrap(plan: Plan) -> Mmdebstrap:
    base = plan.target.base
    if not isinstance(base, Mmdebstrap):
        raise SpecError(
            f"target {plan.target.name}: its root filesystem cannot be built on this host",
            "use --platform qemu: it boots the image that the project publishes",
        )
    return base


def root(plan: Plan, steps: Steps, log: Path) -> Path:
    """Return the root filesystem (tar) of the target's base image; build it if it is not cached.

    Raises SpecError for a base image that is downloaded.
    """
    base = _mmdebstrap(plan)
    path = _root_path(plan)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with steps.step(f"build the {plan.target.title} root filesystem (mmdebstrap)"):
            mmdebstrap.make_root(
                suite=base.suite,
                components=base.components,
                sources=plan.sources.apt_lines,
                packages=base.packages,
                destination=path,
                log=log,
                customize=plan.target.folder / "base",
            )
    return path


def disk(plan: Plan, steps: Steps, log: Path) -> Path:
    """Return the disk (qcow2) of the target's base image; build or download it if it is not cached."""
    base = plan.target.base
    if isinstance(base, Download):
        return _download(base, plan, steps)
    size_mib = _mmdebstrap(plan).size_mib
    tar = root(plan, steps, log)
    path = tar.with_name(tar.name.removesuffix(".tar.zst") + ".qcow2")
    if not path.exists():
        with steps.step("build the base disk"):
            mmdebstrap.make_disk(
                root=tar,
                size_mib=size_mib,
                destination=path,
                log=log,
                grub_config=plan.target.folder / "base/grub-early.cfg",
            )
    return path


def _download(base: Download, plan: Plan, steps: Steps) -> Path:
    from notebake.bases import download

    with steps.step(f"download the {plan.target.name} image"):
        return download.fetch(
            base,
            paths.cache_folder() / "bases",
            renew="check that this image is still published; target.toml has its URL and digest",
            context=web.context(plan.sources.ca_certificates),
            say=steps.note,
        )
