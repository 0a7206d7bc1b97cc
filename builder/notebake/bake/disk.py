"""The disk that a bake starts from, where the host makes the base's root filesystem itself.

The host upgrades that root filesystem and puts the Python environment in, at its own speed: in an emulated
machine both are most of a bake.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from notebake import process
from notebake.bake import chroot, environment
from notebake.bases import mmdebstrap
from notebake.errors import CommandFailed
from notebake.files import write_folder
from notebake.plan.plan import Plan
from notebake.plan.targets import Mmdebstrap
from notebake.progress import Steps
from notebake.provision import upgrade
from notebake.provision.files import Payload

_SECONDS = 1800
# The package sources are those that the root filesystem was made from. apt would keep an old kernel.
_UPGRADE = """\
import sys
sys.path.insert(0, "/opt/notebake/guest")
from machine import run
from setup import optional
from system import upgrade
optional("trust", {})
upgrade()
run("apt-get", "-qy", "-o", "APT::Protect-Kernels=0", "autoremove", "--purge")
"""


def make(
    plan: Plan,
    base: Mmdebstrap,
    payload: Payload,
    *,
    root: Path,
    identity: str,
    wheelhouse: Path,
    folder: Path,
    steps: Steps,
    log: Path,
) -> Path:
    """Return a raw disk in `folder`: the base's `root` (tar), upgraded, with the environment. Requires root.

    Its UUIDs are derived from `identity`. Raises MissingTool or CommandFailed.
    """
    with steps.step("make the environment"):
        archive = environment.make(plan, payload, root, wheelhouse, log) / environment.ARCHIVE
    tree, disk = folder / "tree", folder / "disk.raw"
    mmdebstrap.unpack(root, tree, log)
    if plan.spec.image.upgrade:
        with steps.step("upgrade the packages"):
            _upgrade(plan, payload, tree, log)
    with steps.step("make the disk"):
        home = tree / "opt/notebake"
        home.mkdir(parents=True, exist_ok=True)
        process.run(["tar", "--zstd", "-xpf", archive, "-C", home], timeout=_SECONDS, log=log)
        mmdebstrap.make_raw_disk(
            tree=tree,
            identity=identity,
            size_mib=max(base.size_mib, mmdebstrap.required_mib(tree)),
            destination=disk,
            log=log,
            grub_config=plan.target.folder / "base/grub-early.cfg",
        )
        shutil.rmtree(tree)
    return disk


def _upgrade(plan: Plan, payload: Payload, tree: Path, log: Path) -> None:
    write_folder(tree / "opt/notebake/guest", upgrade.for_bake(plan, payload))
    argv = [plan.target.python.interpreter, "-c", _UPGRADE]
    try:
        chroot.run(tree, argv, settings=chroot.proxies(), timeout=_SECONDS, log=log)
    except CommandFailed as error:
        raise CommandFailed(
            f"bake {plan.target.name}: failed at: upgrade the packages\n{error.message}", error.hint
        ) from None
