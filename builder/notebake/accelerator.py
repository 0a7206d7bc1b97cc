"""Choose the accelerator that QEMU uses on this host: KVM or TCG.

`/dev/kvm` can exist and still hang every machine. So KVM is used only if the processor also has hardware
virtualization.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from notebake import process
from notebake.errors import CommandFailed, MissingTool

QEMU = "qemu-system-x86_64"

Choice = Literal["auto", "kvm", "tcg"]

# Before 8.1, TCG emulates cmpxchg16b incorrectly: kernels since Debian 13 panic. Hiding the instruction
# does not help: NumPy requires x86-64-v2, which includes it.
_FIRST_CORRECT_TCG = (8, 1)


@dataclass(frozen=True, kw_only=True)
class Accelerator:
    """QEMU's accelerator, machine type and processor model."""

    name: Literal["kvm", "tcg"]
    machine: str
    cpu: str

    def qemu_args(self) -> tuple[str, ...]:
        """Return the arguments for a QEMU command line that Packer does not build.

        Packer gets `name` and `cpu` as variables: it passes `-machine type=...,accel=...` itself, and QEMU
        rejects `-accel` together with that.
        """
        accel = "tcg,thread=multi" if self.name == "tcg" else self.name
        return ("-machine", self.machine, "-accel", accel, "-cpu", self.cpu)


def decide(choice: Choice, *, cpuinfo: str, kvm_opens: bool, version: tuple[int, int]) -> Accelerator:
    """Return the accelerator for the given facts, without I/O.

    `cpuinfo` is the text of /proc/cpuinfo, `kvm_opens` whether /dev/kvm opens read-write, `version` QEMU's
    (major, minor). Raises MissingTool if `kvm` cannot work, or if this QEMU is too old for TCG.
    """
    virtualizes = re.search(r"^flags\s*:.*\b(vmx|svm)\b", cpuinfo, re.MULTILINE) is not None
    if choice != "tcg" and virtualizes and kvm_opens:
        return Accelerator(name="kvm", machine="q35", cpu="host")
    if choice == "kvm":
        reason = (
            "/dev/kvm does not exist, or this user has no permission to open it"
            if virtualizes
            else "the processor has neither vmx nor svm, and machines hang without them"
        )
        raise MissingTool(
            f"kvm: {reason}",
            "use --accel tcg (slower, works everywhere), or a host with hardware virtualization",
        )
    if version < _FIRST_CORRECT_TCG:
        raise MissingTool(
            f"{QEMU} {version[0]}.{version[1]}: too old to emulate the processor that NumPy requires",
            "without KVM, QEMU 8.1 or later is required; on Debian 12, install it from bookworm-backports: "
            "sh builder/install-packages.sh",
        )
    return Accelerator(name="tcg", machine="q35", cpu="max")


def parse_version(text: str) -> tuple[int, int]:
    """Return (major, minor) from the output of `qemu-system-x86_64 --version`. Raises CommandFailed."""
    match = re.search(r"\bversion (\d+)\.(\d+)", text)
    if match is None:
        raise CommandFailed(
            f"{QEMU} --version: no version number in the output", "check that this program is QEMU"
        )
    return int(match[1]), int(match[2])


def qemu_version() -> tuple[int, int]:
    """Return (major, minor) of the installed QEMU. Raises MissingTool, CommandFailed."""
    return parse_version(process.run([QEMU, "--version"], timeout=60).stdout.decode("utf-8", "replace"))


def choose(choice: Choice) -> Accelerator:
    """Return the accelerator for this host. Raises MissingTool as `decide` does."""
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        cpuinfo = ""
    return decide(choice, cpuinfo=cpuinfo, kvm_opens=_kvm_opens(), version=qemu_version())


def _kvm_opens() -> bool:
    """Return whether /dev/kvm opens read-write; the permission bits alone do not tell."""
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return True
