"""The choice of the accelerator: a row for every kind of host."""

from __future__ import annotations

import pytest

from notebake.accelerator import Accelerator, Choice, Facts, decide, parse_version
from notebake.errors import CommandFailed, MissingTool

INTEL = "processor\t: 0\nflags\t\t: fpu vme vmx est\n"
AMD = "processor\t: 0\nflags\t\t: fpu svm\n"
PLAIN = "processor\t: 0\nflags\t\t: fpu vme hypervisor\n"
# Words that contain a flag's name, and flag names outside the flags line.
LOOKALIKE = "model name\t: vmx svm\nflags\t\t: fpu vmxnet svme\nbugs\t\t: svm\n"


def linux(cpuinfo: str, kvm_opens: bool = True, version: tuple[int, int] = (10, 0)) -> Facts:
    return Facts(system="linux", machine="x86_64", cpuinfo=cpuinfo, kvm_opens=kvm_opens, version=version)


def other(system: str, machine: str = "x86_64", hvf: bool = False) -> Facts:
    return Facts(system=system, machine=machine, hvf=hvf, version=(10, 0))


@pytest.mark.parametrize("cpuinfo", [INTEL, AMD])
@pytest.mark.parametrize("wanted", ["auto", "kvm"])
def test_kvm_is_chosen_where_it_works(wanted: Choice, cpuinfo: str) -> None:
    chosen = decide(wanted, linux(cpuinfo, version=(7, 2)))
    assert chosen == Accelerator(name="kvm", machine="q35", cpu="host")


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        (linux(PLAIN), "kvm: the processor has neither vmx nor svm"),
        (linux(LOOKALIKE), "kvm: the processor has neither vmx nor svm"),
        (linux(""), "kvm: the processor has neither vmx nor svm"),
        (linux(PLAIN, kvm_opens=False), "kvm: the processor has neither vmx nor svm"),
        (linux(INTEL, kvm_opens=False), "kvm: /dev/kvm does not exist, or this user has no permission"),
        (other("darwin", "arm64", hvf=True), "hvf: the machines are x86-64, this Mac is arm64"),
        (other("darwin"), "hvf: macOS says that it cannot virtualize here"),
        (other("win32", "AMD64"), "whpx: notebake does not use it"),
        (other("netbsd10"), "nvmm: notebake does not use it"),
    ],
)
def test_auto_falls_back_to_tcg_and_says_why(facts: Facts, why: str) -> None:
    chosen = decide("auto", facts)
    assert chosen.name == "tcg" and chosen.cpu == "max"
    assert str(chosen.why_tcg).startswith(why)


@pytest.mark.parametrize("wanted", ["auto", "hvf"])
def test_hvf_on_a_mac_that_virtualizes_x86(wanted: Choice) -> None:
    chosen = decide(wanted, other("darwin", hvf=True))
    assert chosen == Accelerator(name="hvf", machine="q35", cpu="host")


@pytest.mark.parametrize(
    ("wanted", "facts", "reason"),
    [
        ("kvm", linux(PLAIN), "neither vmx nor svm"),
        ("kvm", linux(INTEL, kvm_opens=False), "no permission to open"),
        ("kvm", linux(PLAIN, kvm_opens=False), "neither"),
        ("kvm", other("darwin", hvf=True), "not on this system, which has hvf"),
        ("hvf", linux(INTEL), "not on this system, which has kvm"),
        ("hvf", other("darwin", "arm64"), "this Mac is arm64"),
    ],
)
def test_hardware_is_refused_with_the_reason(wanted: Choice, facts: Facts, reason: str) -> None:
    with pytest.raises(MissingTool, match=reason) as caught:
        decide(wanted, facts)
    assert caught.value.hint is not None
    assert "--accel tcg" in caught.value.hint


def test_tcg_is_used_when_asked_for() -> None:
    chosen = decide("tcg", linux(INTEL))
    assert (chosen.name, chosen.why_tcg) == ("tcg", "asked for")


@pytest.mark.parametrize("version", [(7, 2), (8, 0)])
def test_old_qemu_without_kvm_is_refused(version: tuple[int, int]) -> None:
    with pytest.raises(MissingTool, match="too old"):
        decide("auto", linux("", kvm_opens=False, version=version))
    assert decide("auto", linux(INTEL, version=version)).name == "kvm"


def test_qemus_arguments() -> None:
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
def test_the_version_is_parsed(text: str, version: tuple[int, int]) -> None:
    assert parse_version(text) == version


def test_output_without_a_version_is_an_error() -> None:
    with pytest.raises(CommandFailed, match="no version number"):
        parse_version("Hello\n")
