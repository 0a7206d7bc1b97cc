"""Ubuntu's and openSUSE's families in their shapes: every delivery, the same probe, clones that share nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.e2e import families
from tests.e2e.families import Family, Sealed, launch_one, root_shell, stopped_in_the_end
from tests.e2e.stages import Stages

from notebake.errors import NotReady
from notebake.machines import lifecycle
from notebake.machines.machine import Machine
from notebake.machines.wait import Watch
from notebake.plan.plan import Plan
from notebake.probe.report import Report

# What no two clones may share.
SECRETS = (
    "/etc/machine-id",
    "/etc/ssh/ssh_host_ed25519_key",
    "/var/lib/notebake/tls/key.pem",
    "/var/lib/notebake/token",
    "/home/azureuser/.local/share/jupyter/runtime/jupyter_cookie_secret",
)
VARIANT = {
    "ubuntu-shape": ("ubuntu", "ls /etc/netplan/50-cloud-init.yaml"),
    "opensuse-shape": ("opensuse", "ls /etc/NetworkManager/system-connections/cloud-init-host0.nmconnection"),
}


@pytest.mark.parametrize("closed", [False, True], ids=["online", "air-gapped"])
def test_user_data_alone(closed: bool, family: Family, look: Callable[..., Report], stages: Stages) -> None:
    machine = launch_one(family.by_user_data(family.plan(closed=closed)), family.steps, closed=closed)
    with stopped_in_the_end(machine):
        stages.note(f"{family.name}, user-data alone, {'air-gapped' if closed else 'online'}", machine)
        passes(machine, look)
        like_its_family(family, machine)


def test_two_clones_of_a_sealed_image_share_nothing(
    golden: Sealed, look: Callable[..., Report], stages: Stages
) -> None:
    family, source = golden.family, golden.source()
    left_behind(golden.tree)
    reported(golden)
    first = launch_one(source, family.steps, alone=True)
    with stopped_in_the_end(first):
        second = launch_one(source, family.steps, alone=True)
        with stopped_in_the_end(second):
            stages.note(f"{family.name}, golden", first)
            passes(first, look)
            for machine in (first, second):
                like_its_family(family, machine)
            assert first.fingerprint != second.fingerprint
            assert lifecycle.token(first) != lifecycle.token(second)
            assert shared(first, second) == []
            # One that is shared is found.
            key = "/var/lib/notebake/tls/key.pem"
            root_shell(second, f"cat >{key}", stdin=root_shell(first, f"cat {key}").encode())
            assert shared(first, second) == [key]
            # And so is a firewall that is not there.
            root_shell(second, "ufw disable || systemctl stop firewalld")
            report = look(second, "port_closed")
            assert [item.name for item in report.failed] == ["port_closed"]


def shared(first: Machine, second: Machine) -> list[str]:
    """Those of SECRETS that are the same on both machines, or empty."""
    read = {
        secret: [root_shell(machine, f"cat {secret}") for machine in (first, second)] for secret in SECRETS
    }
    return [secret for secret, (one, other) in read.items() if not one or one == other]


def passes(machine: Machine, look: Callable[..., Report]) -> None:
    """The whole probe, with the token that the console shows."""
    report = look(machine, password=None, token=lifecycle.token(machine))
    assert {item.status for item in report.results} == {"passed"}, report.to_json()


def like_its_family(family: Family, machine: Machine) -> None:
    """The family's own software did the work: its firewall filters, its cloud-init variant set up the network."""
    assert families.lets_in_what_it_should(family, machine)
    variant, network = VARIANT[family.name]
    said = root_shell(
        machine, f"cloud-init query distro; cloud-init query cloud_name; {network}; cloud-init status --wait"
    )
    assert said.startswith(variant), said
    assert "status: done" in said
    if family.name == "ubuntu-shape":
        assert "sudo-rs" in root_shell(machine, "sudo --version")
        # uutils is one program of many names.
        assert root_shell(machine, 'readlink -f "$(command -v install)"') == "/usr/bin/coreutils\n"
        assert (
            root_shell(machine, "systemctl is-enabled snapd; systemctl is-active snapd")
            == "enabled\nactive\n"
        )
    else:
        assert "firewalld" in root_shell(machine, "rpm -qa")


def reported(golden: Sealed) -> None:
    """The machine's report on its software knows the family's package manager and firewall."""
    found = golden.software
    kind, package = {"ubuntu-shape": ("deb", "ufw"), "opensuse-shape": ("rpm", "firewalld")}[
        golden.family.name
    ]
    assert found.system.packages == kind and package in found.os_packages
    assert "numpy" in found.python_packages
    assert any("9999" in rule for rule in found.firewall), found.firewall
    assert not any("notebake-build" in name for name in found.users)


def left_behind(tree: Path) -> None:
    """Nothing in a sealed tree that clones would share."""
    assert (tree / "etc/machine-id").read_text() == ""
    for pattern in (
        "etc/ssh/ssh_host_*", "var/lib/notebake/*", "var/lib/cloud/instance*", "var/lib/cloud/seed/*",
        "home/notebake-build", "etc/sudoers.d/90-*", "root/.ssh", "opt/notebake/cache", "tmp/*",
    ):  # fmt: skip
        assert not list(tree.glob(pattern)), pattern
    assert "notebake-build" not in (tree / "etc/passwd").read_text()


# Negative controls: a deliberate fault in a delivery is reported as what it is.


def test_a_misspelt_package_is_named(family: Family) -> None:
    plan = family.plan()
    spelt = plan.target.model_copy(update={"programs": {"no-such-program": "no-such-pakcage"}})
    reason = failing_launch(family, replace(plan, target=spelt))
    assert re.search("setup failed at programs: .*no-such-pakcage", reason), reason


@pytest.mark.parametrize("family", ["ubuntu-shape"], indirect=True)
def test_a_wrong_hash_in_the_lock_is_named(family: Family) -> None:
    plan = family.plan()
    lines = [re.sub(r"sha256:[0-9a-f]{64}", "sha256:" + "0" * 64, each) if each.startswith("numpy==") else each
             for each in plan.lock.lines]  # fmt: skip
    reason = failing_launch(family, replace(plan, lock=replace(plan.lock, lines=tuple(lines))))
    assert re.search("setup failed at environment: .*[Hh]ash mismatch.*numpy", reason), reason


def failing_launch(family: Family, plan: Plan) -> str:
    """What a launch says that cannot end well; it is not waited for longer than until the machine says so."""

    class UntilItFails(Watch):
        def on_console(self, text: str) -> None:
            super().on_console(text)
            if self.failure is not None:
                raise self.not_ready("the set-up failed")

    with pytest.raises(NotReady) as caught:
        launch_one(family.by_user_data(plan), family.steps, name=f"{family.name}-red", watch=UntilItFails)
    if any(each.name == f"{family.name}-red" for each in lifecycle.machines()):
        lifecycle.stop(f"{family.name}-red")
    return f"{caught.value.message}\n{caught.value.hint}"
