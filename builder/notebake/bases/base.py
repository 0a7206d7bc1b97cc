"""Base images: the disk or root filesystem that a target starts from, built or downloaded once and cached."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

from notebake import paths
from notebake.bases import mmdebstrap, newest, web
from notebake.errors import CommandFailed, MissingTool, SpecError
from notebake.plan import disk_image
from notebake.plan.plan import Plan
from notebake.plan.targets import Download, Mmdebstrap
from notebake.progress import Steps

# A base image that is older than this many days is worth a warning.
_OLD = 30


def base_id(plan: Plan) -> str:
    """Return the SHA-256 (hex) over the base image's inputs: settings, files and package sources.

    A pinned image is itself, wherever it comes from.
    """
    base = plan.target.base
    pinned = isinstance(base, Download) and base.sha256 is not None
    facts = base.model_dump(mode="json", include={"kind", "sha256"} if pinned else None, exclude={"date"})
    digest = hashlib.sha256(json.dumps({"base": facts}, sort_keys=True).encode())
    if isinstance(base, Mmdebstrap):
        digest.update("\n".join(plan.sources.apt_lines).encode())
        for path in sorted((plan.target.folder / "base").rglob("*")):
            if path.is_file():
                digest.update(f"{path.relative_to(plan.target.folder)}\0{path.stat().st_mode}\0".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()


def date(plan: Plan) -> str | None:
    """Return the day (YYYY-MM-DD) on which the base image was made or published; None if it is not known.

    A file without a date in its name is as old as its last change.
    """
    base = plan.target.base
    if isinstance(base, Mmdebstrap):
        path = _root_path(plan)
        return _changed(path).date().isoformat() if path.exists() else None
    if not isinstance(base, Download):
        return None
    return newest.day(base.name if base.is_file else base.url) or base.date


def origin(plan: Plan) -> str:
    """Return where the base image comes from, in words or as a URL."""
    base = plan.target.base
    if isinstance(base, Download):
        return base.origin
    return "made on this host" if isinstance(base, Mmdebstrap) else "installed from Microsoft's ISO"


def warning(plan: Plan, now: datetime) -> str | None:
    """Return a warning if the base image is older than 30 days, with the command that renews it."""
    name = plan.target.name
    if not isinstance(plan.target.base, Download) or (known := date(plan)) is None:
        return None
    age = (now.date() - datetime.fromisoformat(known).date()).days
    if age <= _OLD:
        return None
    return f"the base image of {name} is of {known}, {age} days old: {_renew(plan)}"


def _renew(plan: Plan) -> str:
    name = plan.target.name
    if name in plan.spec.base:
        return f'name a newer one in [base."{name}"] of notebake.toml'
    return f"`notebake lock --bases {name}` takes the newest one"


def _changed(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _root_path(plan: Plan) -> Path:
    return paths.cache_folder() / "bases" / f"{plan.target.name}-{base_id(plan)[:12]}.tar.zst"


def _mmdebstrap(plan: Plan) -> Mmdebstrap:
    base = plan.target.base
    if not isinstance(base, Mmdebstrap):
        raise SpecError(
            f"target {plan.target.name}: its base is a disk image, not a root filesystem made on this host",
            "use its disk",
        )
    return base


def root(plan: Plan, steps: Steps, log: Path, oldest: datetime | None = None) -> Path:
    """Return the root filesystem (tar) of the target's base image; build it if it is not cached.

    It is made again if it was made before `oldest`; None takes one of any age. Until the new one is whole,
    the old one stays. Raises SpecError for a base that is a disk image.
    """
    base = _mmdebstrap(plan)
    path = _root_path(plan)
    made = _changed(path) if path.exists() else None
    if made is not None and (oldest is None or made >= oldest):
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    title = f"build the {plan.target.title} root filesystem (mmdebstrap)"
    if made is not None:
        title += f", because that of {made.date()} is too old"
    try:
        with steps.step(title):
            mmdebstrap.make_root(
                suite=base.suite,
                components=base.components,
                sources=plan.sources.apt_lines,
                packages=base.packages,
                destination=path,
                log=log,
                customize=plan.target.folder / "base",
                ca_certificates=plan.sources.ca_certificates,
            )
    except (MissingTool, CommandFailed) as error:
        if made is not None:
            days = (datetime.now(UTC) - made).days + 1
            error.hint = f"{error.hint}; or take the one of {made.date()}: --max-age {days}"
        raise
    return path


def disk(plan: Plan, steps: Steps, log: Path, oldest: datetime | None = None) -> Path:
    """Return the disk (qcow2) of the target's base image; build or download it if it is not cached.

    `oldest`: see `root`.
    """
    base = plan.target.base
    if isinstance(base, Download):
        return _download(base, plan, steps)
    size_mib = _mmdebstrap(plan).size_mib
    tar = root(plan, steps, log, oldest)
    path = tar.with_name(tar.name.removesuffix(".tar.zst") + ".qcow2")
    if not path.exists() or _changed(path) < _changed(tar):
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

    what = "copy" if base.is_file else "download"
    with steps.step(f"{what} the {plan.target.name} image"):
        path = download.fetch(
            base,
            paths.cache_folder() / "bases",
            renew=_renew(plan),
            context=web.context(plan.sources.ca_certificates),
            say=steps.note,
        )
    disk_image.check(path, base.origin)
    return path
