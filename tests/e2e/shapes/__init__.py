"""Debian root file systems in the shape of Ubuntu and openSUSE: targets for tests, cached like base images.

`make machines` makes them. They are not Ubuntu or openSUSE: each target.toml says what they have in common.
"""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock

from notebake import paths, process
from notebake.bake import wheelhouse as wheels
from notebake.bases import base
from notebake.launch import Source
from notebake.plan import mirrors, plan, spec, targets
from notebake.plan.plan import Plan
from notebake.progress import Steps

FOLDER = Path(__file__).resolve().parent
NAMES = ("ubuntu-shape", "opensuse-shape")


@dataclass(frozen=True, kw_only=True)
class Made:
    """A shape: root file system (a tar), the package repository that it trusts, wheels of its lock."""

    name: str
    root: Path
    repository: Path
    wheelhouse: Path


def make(name: str, steps: Steps, log: Path) -> Made:
    """Return the shape `name`; make it if it is not in the cache. Raises MissingTool or CommandFailed.

    If two processes call this at the same time, the second one waits.
    """
    with FileLock(paths.cache_folder() / "shapes.lock"):
        return _make(name, steps, log)


def _make(name: str, steps: Steps, log: Path) -> Made:
    host_mirrors = spec.parse('mirrors = "host"', source="shapes")
    its_plan = plan.make(host_mirrors, targets.get(name, FOLDER), FOLDER, now=datetime.now(UTC))
    root = base.root(its_plan, steps, log)
    repository = root.with_name(root.name.removesuffix(".tar.zst") + "-repository")
    if not repository.is_dir():
        with tempfile.TemporaryDirectory(dir=repository.parent) as scratch:
            process.run(["tar", "--zstd", "-xf", root, "-C", scratch, "./srv/repository"], timeout=300)
            (Path(scratch) / "srv/repository").rename(repository)
    # The shapes have debian-13's Python and lock, and share its wheelhouse.
    lock_id = hashlib.sha256(its_plan.lock.text().encode()).hexdigest()[:12]
    wheelhouse = paths.cache_folder() / "wheels" / f"debian-13-{lock_id}"
    with steps.step("fetch the wheels"):
        wheels.fetch(its_plan.lock, its_plan.target, its_plan.sources.python, wheelhouse, log)
    return Made(name=name, root=root, repository=repository, wheelhouse=wheelhouse)


def plan_for(name: str, folder: Path, *, server: str, closed: bool, more: str = "") -> Plan:
    """Return a plan whose package repository is at the URL `server`, and if `closed` its Python index too."""
    key = "zypper" if name == "opensuse-shape" else "apt"
    lines = [f'{key} = "{server}/{name}"']
    if closed:
        lines.append(f'python = "{server}/simple"')
    else:
        host = mirrors.resolve("host", folder)
        lines.append(f'python = "{host.python}"')
        if host.ca_certificates:
            (folder / "host-ca.pem").write_text("".join(host.ca_certificates))
            lines.append('ca_certificates = ["host-ca.pem"]')
    text = f"{more}\n[mirrors]\n" + "\n".join(lines) + "\n"
    return plan.make(
        spec.parse(text, source="shapes"), targets.get(name, FOLDER), folder, now=datetime.now(UTC)
    )


def source(made: Plan, root: Path, user_data: bytes, identity: str, **changes: str) -> Source:
    """Return what a machine of the plan `made` is launched from; `root`: a tar."""
    return Source(
        target=made.target.name,
        source="user-data",
        user=changes.get("user", made.spec.user),
        port=made.spec.notebook.port,
        public_port=made.spec.endpoint.public_port,
        user_data=user_data,
        identity=identity,
        root=root,
    )
