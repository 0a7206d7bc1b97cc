"""Plain bases: the disk or root a target starts from, made or fetched once and kept in the cache."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from notebake import paths
from notebake.bases import mmdebstrap
from notebake.errors import SpecError
from notebake.plan.plan import Plan
from notebake.plan.targets import Download, Mmdebstrap
from notebake.progress import Steps


def base_id(plan: Plan) -> str:
    """What the base is made from, as SHA-256 (hex): its facts, its files and its mirror."""
    total = hashlib.sha256(
        json.dumps(plan.target.model_dump(mode="json", include={"base"}), sort_keys=True).encode()
    )
    if isinstance(plan.target.base, Mmdebstrap):
        total.update(f"{plan.sources.apt}".encode())
        for path in sorted((plan.target.folder / "base").rglob("*")):
            if path.is_file():
                total.update(f"{path.relative_to(plan.target.folder)}\0{path.stat().st_mode}\0".encode())
                total.update(path.read_bytes())
    return total.hexdigest()


def _made(plan: Plan) -> Mmdebstrap:
    base = plan.target.base
    if not isinstance(base, Mmdebstrap):
        raise SpecError(
            f"target {plan.target.name}: its plain root cannot be made on this computer",
            "--platform qemu boots the image that its project publishes",
        )
    return base


def root(plan: Plan, steps: Steps, log: Path) -> Path:
    """The plain root of a target made here, as a tar. Raises SpecError for a downloaded one."""
    base = _made(plan)
    path = paths.cache_folder() / "bases" / f"{plan.target.name}-{base_id(plan)[:12]}.tar.zst"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with steps.step(f"make the plain {plan.target.title} root (mmdebstrap)"):
            mmdebstrap.make_root(
                suite=base.suite,
                components=base.components,
                mirror=plan.sources.apt,
                packages=base.packages,
                destination=path,
                log=log,
                customize=plan.target.folder / "base",
            )
    return path


def disk(plan: Plan, steps: Steps, log: Path) -> Path:
    """The plain base disk (qcow2) of a target: made here, or fetched and checked by SHA-256."""
    base = plan.target.base
    if isinstance(base, Download):
        return _download(base, plan.target.name, steps)
    made = _made(plan)
    source = root(plan, steps, log)
    path = source.with_name(source.name.removesuffix(".tar.zst") + ".qcow2")
    if not path.exists():
        with steps.step("make the base disk"):
            mmdebstrap.make_disk(
                root=source,
                size_mib=made.size_mib,
                destination=path,
                log=log,
                grub_config=plan.target.folder / "base/grub-early.cfg",
            )
    return path


def _download(base: Download, name: str, steps: Steps) -> Path:
    from notebake.bases import download

    with steps.step(f"fetch the {name} image"):
        return download.fetch(base, paths.cache_folder() / "bases")
