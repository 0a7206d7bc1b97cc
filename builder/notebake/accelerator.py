"""Choose the accelerator that QEMU uses on this host: KVM, HVF or TCG.

`/dev/kvm` can exist and still hang every machine. So KVM is used only if the processor also has hardware
virtualization.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from notebake import process
from notebake.errors import CommandFailed, MissingTool

QEMU = "qemu-system-x86_64"

Choice = Literal["auto", "kvm", "hvf", "tcg"]

# sys.platform without its number -> QEMU's accelerator of that system.
_HARDWARE = {"linux": "kvm", "darwin": "hvf", "win": "whpx", "netbsd": "nvmm"}

# Before 8.1, TCG emulates cmpxchg16b incorrectly: kernels since Debian 13 panic. Hiding the instruction
# does not help: NumPy requires x86-64-v2, which includes it.
_FIRST_CORRECT_TCG = (8, 1)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What decides: sys.platform, the processor's architecture, the text of /proc/cpuinfo, whether /dev/kvm
    opens read-write, whether macOS virtualizes, and QEMU's (major, minor).
    """

    system: str
    machine: str
    cpuinfo: str = ""
    kvm_opens: bool = False
    hvf: bool = False
    version: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Accelerator:
    """QEMU's accelerator, machine type and processor model.

    `why_tcg`: with TCG, why the host's hardware is not used.
    """

    name: Literal["kvm", "hvf", "tcg"]
    machine: str
    cpu: str
    why_tcg: str | None = None

    def qemu_args(self) -> tuple[str, ...]:
        """Return the arguments for a QEMU command line that Packer does not build.

        Packer gets `name` and `cpu` as variables: it passes `-machine type=...,accel=...` itself, and QEMU
        rejects `-accel` together with that.
        """
        accel = "tcg,thread=multi" if self.name == "tcg" else self.name
        return ("-machine", self.machine, "-accel", accel, "-cpu", self.cpu)


def _hardware(facts: Facts) -> tuple[str, str | None]:
    """Return the name of the host's accelerator, and why it cannot be used; None when it can."""
    name = _HARDWARE.get(re.sub(r"\d+$", "", facts.system), "kvm")
    reason = None
    if name == "kvm" and re.search(r"^flags\s*:.*\b(vmx|svm)\b", facts.cpuinfo, re.MULTILINE) is None:
        reason = "the processor has neither vmx nor svm, and machines hang without them"
    elif name == "kvm" and not facts.kvm_opens:
        reason = "/dev/kvm does not exist, or this user has no permission to open it"
    elif name == "hvf" and facts.machine != "x86_64":
        reason = f"the machines are x86-64, this Mac is {facts.machine}"
    elif name == "hvf" and not facts.hvf:
        reason = "macOS says that it cannot virtualize here (sysctl kern.hv_support)"
    elif name in ("whpx", "nvmm"):
        reason = "notebake does not use it: nobody has run it yet"
    return name, reason


def decide(choice: Choice, facts: Facts) -> Accelerator:
    """Return the accelerator for a host with these facts.

    Raises MissingTool when KVM or HVF is asked for and cannot be trusted here, or QEMU is too old for TCG.
    """
    name, reason = _hardware(facts)
    if choice in ("kvm", "hvf") and choice != name:
        reason = f"not on this system, which has {name}"
    if choice != "tcg" and reason is None:
        return Accelerator(name="hvf" if name == "hvf" else "kvm", machine="q35", cpu="host")
    if choice in ("kvm", "hvf"):
        raise MissingTool(
            f"{choice}: {reason}",
            "use --accel tcg (slower, works everywhere), or a host with hardware virtualization",
        )
    if facts.version < _FIRST_CORRECT_TCG:
        raise MissingTool(
            f"{QEMU} {facts.version[0]}.{facts.version[1]}: too old to emulate the processor "
            "that NumPy requires",
            "without KVM, QEMU 8.1 or later is required; on Debian 12 `notebake doctor --fix` "
            "installs it from backports",
        )
    why = "asked for" if choice == "tcg" else f"{name}: {reason}"
    return Accelerator(name="tcg", machine="q35", cpu="max", why_tcg=why)


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
    """Return the accelerator for this host; raises MissingTool for `kvm` or `hvf` where it cannot work."""
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        cpuinfo = ""
    facts = Facts(
        system=sys.platform,
        machine=platform.machine(),
        cpuinfo=cpuinfo,
        kvm_opens=_kvm_opens(),
        hvf=sys.platform == "darwin" and _hvf(),
        version=qemu_version(),
    )
    return decide(choice, facts)


def _kvm_opens() -> bool:
    """Return whether /dev/kvm opens read-write; the permission bits alone do not tell."""
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _hvf() -> bool:
    said = process.run(["sysctl", "-n", "kern.hv_support"], timeout=60, check=False).stdout
    return said.strip() == b"1"
