"""Debian roots in the shape of Ubuntu and openSUSE: targets of the tests' own, made and cached as bases are.

`make machines` makes them. Nothing here is Ubuntu or openSUSE: each target.toml says what is like them.
"""

from __future__ import annotations

import hashlib
import shutil
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
    """A shape's plain root (a tar), the package repository that it trusts, and the wheels of its lock."""

    name: str
    root: Path
    repository: Path
    wheelhouse: Path


def make(name: str, steps: Steps, log: Path) -> Made:
    """The shape `name` from the cache, made when it is not there. Raises MissingTool or CommandFailed.

    Two processes may ask for it at once: the second one waits.
    """
    with FileLock(paths.cache_folder() / "shapes.lock"):
        return _make(name, steps, log)


def _make(name: str, steps: Steps, log: Path) -> Made:
    made = plan.make(
        spec.parse('mirrors = "host"', source="shapes"),
        targets.get(name, FOLDER),
        FOLDER,
        now=datetime.now(UTC),
    )
    root = base.root(made, steps, log)
    repository = root.with_name(root.name.removesuffix(".tar.zst") + "-repository")
    if not repository.is_dir():
        with tempfile.TemporaryDirectory(dir=repository.parent) as scratch:
            process.run(["tar", "--zstd", "-xf", root, "-C", scratch, "./srv/repository"], timeout=300)
            (Path(scratch) / "srv/repository").rename(repository)
    # The shapes have debian-13's Python and lock: one wheelhouse serves all.
    lock_id = hashlib.sha256(made.lock.text().encode()).hexdigest()[:12]
    wheelhouse = paths.cache_folder() / "wheels" / f"debian-13-{lock_id}"
    with steps.step("fetch the wheels"):
        wheels.fetch(made.lock, made.target, made.sources.python, wheelhouse, log)
    return Made(name=name, root=root, repository=repository, wheelhouse=wheelhouse)


def plan_for(name: str, folder: Path, *, depot: str, closed: bool, more: str = "") -> Plan:
    """A plan whose package repository is at `depot`; its Python index too when the network is `closed`."""
    key = "zypper" if name == "opensuse-shape" else "apt"
    lines = [f'{key} = "{depot}/{name}"']
    if closed:
        lines.append(f'python = "{depot}/simple"')
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
    """What a machine of `made` is started from; `root` is a tar, or a sealed tree that is copied."""
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


def move(tree: Path, destination: Path) -> None:
    """Take a stopped machine's tree for an image."""
    if tree.stat().st_dev == destination.parent.stat().st_dev:
        tree.rename(destination)
    else:
        shutil.copytree(tree, destination, symlinks=True)
