"""The disk that a bake starts from, where the host makes the base's root filesystem itself.

The host does in that root filesystem, at its own speed, what an emulated machine would take minutes for: it
upgrades the packages, puts the Python environment in, runs set-up and takes the inventory of the disk. The
machine boots from the result, checks it, and is sealed.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from notebake import paths, process
from notebake.bake import chroot, environment
from notebake.bases import mmdebstrap
from notebake.errors import CommandFailed
from notebake.files import write_folder
from notebake.plan.plan import Plan
from notebake.plan.targets import Mmdebstrap
from notebake.progress import Steps
from notebake.provision import upgrade
from notebake.provision.files import Payload

# As large as the disk of the machine: growing it there takes time.
SIZE_MIB = 8192
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
    key: str,
    folder: Path,
    steps: Steps,
    log: Path,
) -> Path:
    """Return a raw disk in `folder`: the base's `root` (tar), upgraded, with the environment. Requires root.

    It is set up too, and `key` (an OpenSSH line) logs in as Packer's user. But scripts and packages of the
    spec may require a running system: then the machine runs set-up, and cloud-init makes that user. The disk
    has SIZE_MIB or more. Its UUIDs are derived from `identity`. Raises MissingTool or CommandFailed.
    """
    with steps.step("make the environment"):
        archive = environment.make(plan, payload, root, wheelhouse, log) / environment.ARCHIVE
    tree, disk = folder / "tree", folder / "disk.raw"
    mmdebstrap.unpack(root, tree, log)
    if plan.spec.image.upgrade:
        with steps.step("upgrade the packages"):
            _upgrade(plan, payload, tree, log)
    with steps.step("set up the disk"):
        home = tree / "opt/notebake"
        home.mkdir(parents=True, exist_ok=True)
        process.run(["tar", "--zstd", "-xpf", archive, "-C", home], timeout=_SECONDS, log=log)
        if not plan.scripts and not plan.spec.image.packages_for(plan.target.family):
            _set_up(plan, payload, tree, key, log)
    with steps.step("write the disk"):
        mmdebstrap.make_raw_disk(
            tree=tree,
            identity=identity,
            size_mib=max(SIZE_MIB, base.size_mib, mmdebstrap.required_mib(tree)),
            destination=disk,
            log=log,
            grub_config=plan.target.folder / "base/grub-early.cfg",
        )
        shutil.rmtree(tree)
    return disk


def _upgrade(plan: Plan, payload: Payload, tree: Path, log: Path) -> None:
    write_folder(tree / "opt/notebake/guest", upgrade.for_bake(plan, payload))
    argv = [plan.target.python.interpreter, "-c", _UPGRADE]
    _run(plan, tree, argv, "upgrade the packages", settings=chroot.proxies(), network=True, log=log)


def _set_up(plan: Plan, payload: Payload, tree: Path, key: str, log: Path) -> None:
    scripts, temporary = paths.data_folder("images") / "_shared/linux/scripts", tree / "var/tmp"
    for name in ("disk.sh", "report.py"):
        shutil.copyfile(scripts / name, temporary / name)
    (temporary / "guest.tar.gz").write_bytes(payload.archive(upgrade.for_bake(plan, payload)))
    (temporary / "key.pub").write_text(f"{key}\n", "utf-8")
    argv = ["sh", "/var/tmp/disk.sh"]
    # Without a network: what set-up does there must not reach the host's.
    _run(plan, tree, argv, "set up the disk", settings={}, network=False, log=log)


def _run(
    plan: Plan,
    tree: Path,
    argv: list[str],
    step: str,
    *,
    settings: dict[str, str],
    network: bool,
    log: Path,
) -> None:
    try:
        chroot.run(tree, argv, settings=settings, network=network, timeout=_SECONDS, log=log)
    except CommandFailed as error:
        raise CommandFailed(
            f"bake {plan.target.name}: failed at: {step}\n{error.message}", error.hint
        ) from None
