"""The accelerator is decided from three facts, so every kind of host is a row here."""

from __future__ import annotations

import pytest

from notebake.accelerator import Accelerator, Choice, decide, parse_version
from notebake.errors import CommandFailed, MissingTool

INTEL = "processor\t: 0\nflags\t\t: fpu vme vmx est\n"
AMD = "processor\t: 0\nflags\t\t: fpu svm\n"
PLAIN = "processor\t: 0\nflags\t\t: fpu vme hypervisor\n"
# A word that only contains the flag's name, and a flag name outside the flags line.
LOOKALIKE = "model name\t: vmx svm\nflags\t\t: fpu vmxnet svme\nbugs\t\t: svm\n"


@pytest.mark.parametrize("cpuinfo", [INTEL, AMD])
@pytest.mark.parametrize("wanted", ["auto", "kvm"])
def test_kvm_where_it_can_work(wanted: Choice, cpuinfo: str) -> None:
    chosen = decide(wanted, cpuinfo=cpuinfo, kvm_opens=True, version=(7, 2))
    assert chosen == Accelerator(name="kvm", machine="q35", cpu="host")
    assert chosen.name == "kvm"


@pytest.mark.parametrize(
    ("cpuinfo", "kvm_opens"),
    [(PLAIN, True), (LOOKALIKE, True), ("", True), (INTEL, False), (PLAIN, False)],
)
def test_auto_falls_back_to_tcg(cpuinfo: str, kvm_opens: bool) -> None:
    chosen = decide("auto", cpuinfo=cpuinfo, kvm_opens=kvm_opens, version=(10, 0))
    assert chosen.name == "tcg"
    assert chosen.name == "tcg"


@pytest.mark.parametrize(
    ("cpuinfo", "kvm_opens", "reason"),
    [
        (PLAIN, True, "neither vmx nor svm"),
        (INTEL, False, "no permission to open"),
        (PLAIN, False, "neither"),
    ],
)
def test_kvm_is_refused_with_the_reason(cpuinfo: str, kvm_opens: bool, reason: str) -> None:
    with pytest.raises(MissingTool, match=reason) as caught:
        decide("kvm", cpuinfo=cpuinfo, kvm_opens=kvm_opens, version=(10, 0))
    assert caught.value.hint is not None
    assert "--accel tcg" in caught.value.hint


def test_tcg_is_kept_where_kvm_would_work() -> None:
    assert decide("tcg", cpuinfo=INTEL, kvm_opens=True, version=(10, 0)).name == "tcg"


@pytest.mark.parametrize("version", [(7, 2), (8, 0)])
def test_old_qemu_without_kvm_is_refused(version: tuple[int, int]) -> None:
    with pytest.raises(MissingTool, match="too old"):
        decide("auto", cpuinfo="", kvm_opens=False, version=version)
    assert decide("auto", cpuinfo=INTEL, kvm_opens=True, version=version).name == "kvm"


def test_what_qemu_is_told() -> None:
    tcg = Accelerator(name="tcg", machine="q35", cpu="max")
    assert tcg.qemu_args() == ("-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max")
    kvm = Accelerator(name="kvm", machine="q35", cpu="host")
    assert kvm.qemu_args() == ("-machine", "q35", "-accel", "kvm", "-cpu", "host")


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\n", (7, 2)),
        ("QEMU emulator version 10.0.2\nCopyright (c) 2003-2025\n", (10, 0)),
    ],
)
def test_version(text: str, version: tuple[int, int]) -> None:
    assert parse_version(text) == version


def test_no_version() -> None:
    with pytest.raises(CommandFailed, match="no version number"):
        parse_version("Hello\n")
