"""Which accelerator QEMU uses on this machine, and how to say so to QEMU and to Packer.

`/dev/kvm` can be there and hang every guest, so the device alone proves nothing: KVM is taken only
where the processor also shows hardware virtualization.
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

Wanted = Literal["auto", "kvm", "tcg"]

# QEMU's TCG before 8.1 gets cmpxchg16b wrong: kernels from Debian 13 on panic in it, and without the
# instruction NumPy refuses the processor, because x86-64-v2 has it.
_FIRST_GOOD_TCG = (8, 1)


@dataclass(frozen=True, kw_only=True)
class Accelerator:
    """How a machine's processor is made: QEMU's accelerator, machine type and processor model."""

    name: Literal["kvm", "tcg"]
    machine: str
    cpu: str

    def qemu_args(self) -> tuple[str, ...]:
        """Arguments for a QEMU command line of our own.

        Packer gets `name` and `cpu` as variables: it writes its own `-machine type=...,accel=...`, and
        QEMU refuses `-accel` beside that.
        """
        accel = "tcg,thread=multi" if self.name == "tcg" else self.name
        return ("-machine", self.machine, "-accel", accel, "-cpu", self.cpu)


def decide(wanted: Wanted, *, cpuinfo: str, kvm_opens: bool, version: tuple[int, int]) -> Accelerator:
    """The pure decision: text of /proc/cpuinfo, whether /dev/kvm opens read-write, QEMU (major, minor).

    Raises MissingTool when KVM is asked for and cannot be trusted here.
    """
    virtualizes = re.search(r"^flags\s*:.*\b(vmx|svm)\b", cpuinfo, re.MULTILINE) is not None
    if wanted != "tcg" and virtualizes and kvm_opens:
        return Accelerator(name="kvm", machine="q35", cpu="host")
    if wanted == "kvm":
        reason = (
            "/dev/kvm is not there or this user may not open it"
            if virtualizes
            else "the processor shows neither vmx nor svm, and guests hang without them"
        )
        raise MissingTool(
            f"kvm: {reason}",
            "use --accel tcg (slower, works everywhere), or a host with hardware virtualization",
        )
    if version < _FIRST_GOOD_TCG:
        raise MissingTool(
            f"{QEMU} {version[0]}.{version[1]}: too old to emulate a processor that the notebook runs on",
            "without KVM it takes QEMU 8.1; on Debian 12 bookworm-backports has one: sh builder/install-packages.sh",
        )
    return Accelerator(name="tcg", machine="q35", cpu="max")


def parse_version(text: str) -> tuple[int, int]:
    """(major, minor) from the first line of `qemu-system-x86_64 --version`; raises CommandFailed."""
    found = re.search(r"\bversion (\d+)\.(\d+)", text)
    if found is None:
        raise CommandFailed(f"{QEMU} --version: no version number in its answer", "is that really QEMU?")
    return int(found[1]), int(found[2])


def qemu_version() -> tuple[int, int]:
    """(major, minor) of the installed QEMU; raises MissingTool or CommandFailed."""
    return parse_version(process.run([QEMU, "--version"], timeout=60).stdout.decode("utf-8", "replace"))


def choose(wanted: Wanted) -> Accelerator:
    """The accelerator for this machine; raises MissingTool for `kvm` where it cannot work."""
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        cpuinfo = ""
    return decide(wanted, cpuinfo=cpuinfo, kvm_opens=_kvm_opens(), version=qemu_version())


def _kvm_opens() -> bool:
    """Whether /dev/kvm opens read-write; permission bits alone can say yes where open says no."""
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return True
