"""Ubuntu's and openSUSE's families in their shapes: user-data only and golden images pass the same probe."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path

import pytest
from tests.conftest import Run
from tests.e2e import families
from tests.e2e.families import Family, Sealed, launch_one, root_shell, stopped_afterwards
from tests.e2e.stages import Stages

from notebake.machines import lifecycle
from notebake.machines.machine import Machine
from notebake.plan.plan import Plan
from notebake.probe.report import Report

# Clones must not share these.
SECRETS = (
    "/etc/machine-id",
    "/etc/ssh/ssh_host_ed25519_key",
    "/var/lib/notebake/tls/key.pem",
    "/var/lib/notebake/token",
    "/var/lib/notebake/cookies",
)
VARIANT = {
    "ubuntu-shape": ("ubuntu", "ls /etc/netplan/50-cloud-init.yaml"),
    "opensuse-shape": ("opensuse", "ls /etc/NetworkManager/system-connections/cloud-init-eth0.nmconnection"),
}


@pytest.mark.parametrize("closed", [False, True], ids=["online", "air-gapped"])
def test_a_machine_with_user_data_only_passes_the_probe(
    closed: bool, family: Family, look: Callable[..., Report], stages: Stages, run: Run
) -> None:
    plan = family.own_plan() if closed else family.plan(closed=False, more=AT_FIRST_BOOT)
    machine = launch_one(family.by_user_data(plan), family.steps, closed=closed)
    with stopped_afterwards(machine):
        stages.note(f"{family.name}, user-data only, {'air-gapped' if closed else 'online'}", machine)
        # An update of the first boot may need a reboot, which is the administrator's.
        waits = not closed and family.name == "opensuse-shape"
        check_probe(machine, look, failed={"restart"} if waits else set())
        check_family(family, machine)
        if closed:
            check_own_software(family, machine)
            families.check_metadata(machine, look, plan.target.firewall)
            check_updates(family, machine, look, run)
        else:
            check_upgraded(family, machine)


def test_two_clones_of_a_sealed_image_share_nothing(
    golden: Sealed, look: Callable[..., Report], stages: Stages
) -> None:
    family, source = golden.family, golden.source()
    check_sealed(golden.tree)
    check_inventory(golden)
    first = launch_one(source, family.steps)
    with stopped_afterwards(first):
        second = launch_one(source, family.steps)
        with stopped_afterwards(second):
            stages.note(f"{family.name}, golden", first)
            check_probe(first, look)
            for machine in (first, second):
                check_family(family, machine)
            check_own_software(family, first)
            assert first.fingerprint != second.fingerprint
            assert lifecycle.token(first) != lifecycle.token(second)
            assert shared(first, second) == []
            # The check finds a shared secret.
            key = "/var/lib/notebake/tls/key.pem"
            root_shell(second, f"cat >{key}", stdin=root_shell(first, f"cat {key}").encode())
            assert shared(first, second) == [key]
            # The probe finds a firewall that is off.
            root_shell(second, "ufw disable || systemctl stop firewalld")
            report = look(second, "port_closed")
            assert [result.name for result in report.failed] == ["port_closed"]


def shared(first: Machine, second: Machine) -> list[str]:
    """Return those of SECRETS that are empty, or the same on both machines."""
    contents = {
        secret: [root_shell(machine, f"cat {secret}") for machine in (first, second)] for secret in SECRETS
    }
    return [secret for secret, (one, other) in contents.items() if not one or one == other]


def check_probe(
    machine: Machine,
    look: Callable[..., Report],
    *,
    failed: AbstractSet[str] = frozenset(),
) -> None:
    """Check that all of the probe but `failed` passes, with the token from the console."""
    report = look(machine, password=None, token=lifecycle.token(machine))
    assert {result.name for result in report.failed} == failed, report.to_json()
    assert not [result for result in report.results if result.status == "skipped"], report.to_json()


def check_family(family: Family, machine: Machine) -> None:
    """Check that the family's own firewall, cloud-init variant and network software did the work."""
    assert families.firewall_is_on(family, machine)
    variant, network = VARIANT[family.name]
    queries = "cloud-init query distro; cloud-init query cloud_name"
    output = root_shell(machine, f"{queries}; {network}; cloud-init status --wait")
    assert output.startswith(variant), output
    assert "status: done" in output
    if family.name == "ubuntu-shape":
        assert "sudo-rs" in root_shell(machine, "sudo --version")
        # All tools of uutils are one program.
        assert root_shell(machine, 'readlink -f "$(command -v install)"') == "/usr/bin/coreutils\n"
        snapd = root_shell(machine, "systemctl is-enabled snapd; systemctl is-active snapd")
        assert snapd == "enabled\nactive\n"
    else:
        assert "firewalld" in root_shell(machine, "rpm -qa")


def check_own_software(family: Family, machine: Machine) -> None:
    """Check that packages, files and scripts of the spec are there, and that each script ran once."""
    files = "/usr/local/share/own/own.bin /home/azureuser/.config/own /home/azureuser/.config/own/own.txt"
    owners = root_shell(machine, f"stat --format '%U %a' {files}").split("\n")
    assert owners == ["root 640", "azureuser 755", "azureuser 644", ""]
    for path, name in (("/var/own", "own.bin"), ("/home/azureuser/.config/own/own.txt", "own.txt")):
        digest = hashlib.sha256(families.OWN_FILES[name]).hexdigest()
        assert root_shell(machine, f"sha256sum {path}").split()[0] == digest
    assert root_shell(machine, "cat /var/own.log") == "before\nafter 2\n"
    if family.name == "ubuntu-shape":
        assert root_shell(machine, "command -v needrestart") == "/usr/sbin/needrestart\n"
    else:
        assert "shape-tool-16.0-2" in root_shell(machine, "rpm -q shape-tool")
    timers = root_shell(machine, "systemctl list-timers --all --no-legend")
    names = {"ubuntu-shape": "apt-daily-upgrade.timer", "opensuse-shape": "notebake-updates.timer"}
    assert re.search(r" 04:00:00 .* notebake-reboot.timer", timers), timers
    assert names[family.name] in timers, timers


AT_FIRST_BOOT = "[updates]\nat_first_boot = true\n"
UPDATE = {
    "ubuntu-shape": "systemctl start apt-daily.service apt-daily-upgrade.service",
    "opensuse-shape": "systemctl start notebake-updates.service",
}
# Builds that are newer for security, and those that are newer for another reason.
VERSIONS = {
    "ubuntu-shape": "dpkg-query --show --showformat '${Package} ${Version}\\n' libexpat1 netbase",
    "opensuse-shape": "rpm --query --queryformat '%{NAME} %{RELEASE}\\n' shape-release shape-base",
}
UPGRADED = {
    "ubuntu-shape": {"libexpat1": "+shape1", "netbase": "+shape1"},
    "opensuse-shape": {"shape-release": "-2", "shape-base": "-2"},
}
WAITS = {"ubuntu-shape": "notebook.service, .* old libexpat.so.1", "opensuse-shape": "reboot this machine"}
PID = "systemctl show --property MainPID --value notebake-notebook"


def check_upgraded(family: Family, machine: Machine) -> None:
    """Check that the first boot upgraded all packages, before it set up the notebook."""
    security, other = root_shell(machine, VERSIONS[family.name]).splitlines()
    assert security.endswith(("+shape1", " 2")) and other.endswith(("+shape1", " 2")), (security, other)
    steps = re.findall(r"notebake: setup (\w+) [0-9.]+ s", families.console_log(machine))
    assert steps.index("sources") < steps.index("upgrade") < steps.index("environment"), steps


def check_updates(family: Family, machine: Machine, look: Callable[..., Report], run: Run) -> None:
    """Check that security updates alone are installed, that the server keeps running, and that all say so."""
    before = root_shell(machine, PID)
    root_shell(machine, UPDATE[family.name])
    security, other = root_shell(machine, VERSIONS[family.name]).splitlines()
    assert security.endswith(("+shape1", " 2")), security
    assert not other.endswith(("+shape1", " 2")), other
    assert root_shell(machine, PID) == before, "the server was restarted under its kernels"
    waits = f"notebake: restart needed: .*{WAITS[family.name]}"
    assert re.search(waits, root_shell(machine, "journalctl --unit notebake-notebook --output cat"))
    assert re.search(waits, root_shell(machine, "bash --login -c true"))
    (result,) = look(machine, "restart", password=None, token=lifecycle.token(machine)).results
    assert result.status == "failed" and re.search(WAITS[family.name], result.detail)
    assert "running, restart needed" in run("ps", machine.name)[1]
    (row,) = json.loads(run("ps", machine.name, "--json")[1])
    assert re.search(WAITS[family.name], row["restart_needed"])
    first = root_shell(machine, families.BOOT)
    if family.name == "ubuntu-shape":
        root_shell(machine, "systemctl restart notebake-notebook")
        assert root_shell(machine, "bash --login -c true") == ""
        # At the time for reboots, nothing waits.
        root_shell(machine, "systemctl start notebake-reboot")
        assert root_shell(machine, "systemctl show --property Result --value notebake-reboot") == (
            "exec-condition\n"
        )
        assert root_shell(machine, families.BOOT) == first
    else:
        root_shell(machine, "systemctl start --no-block notebake-reboot", check=False)
        families.wait_for_another_boot(machine, first)
    assert "restart needed" not in run("ps", machine.name)[1]


def check_inventory(golden: Sealed) -> None:
    """Check that the software inventory has the family's packages and firewall rules."""
    inventory = golden.software
    expected = {"ubuntu-shape": ("deb", "ufw"), "opensuse-shape": ("rpm", "firewalld")}
    kind, package = expected[golden.family.name]
    assert inventory.system.packages == kind and package in inventory.os_packages
    assert inventory.os_packages.keys() == inventory.os_sizes.keys()
    assert inventory.python_packages.keys() == inventory.python_sizes.keys()
    assert inventory.python_sizes["numpy"] > 20_000_000
    # The bake upgraded all packages, not only for security.
    for name, ending in UPGRADED[golden.family.name].items():
        old, new = inventory.upgraded[name].split(" -> ")
        assert new == inventory.os_packages[name] and new.endswith(ending) and not old.endswith(ending)
    assert any("9999" in rule for rule in inventory.firewall), inventory.firewall
    assert not any("notebake-build" in name for name in inventory.users)


def check_sealed(tree: Path) -> None:
    """Check that nothing is left in a sealed tree that clones would share."""
    assert (tree / "etc/machine-id").read_text() == ""
    for pattern in (
        "etc/ssh/ssh_host_*", "var/lib/notebake/*", "var/lib/cloud/instance*", "var/lib/cloud/seed/*",
        "home/notebake-build", "etc/sudoers.d/90-*", "root/.ssh", "opt/notebake/cache", "tmp/*",
    ):  # fmt: skip
        assert not list(tree.glob(pattern)), pattern
    assert "notebake-build" not in (tree / "etc/passwd").read_text()


# Deliberate faults: the launch must name each of them.


def test_a_misspelt_package_is_named(family: Family) -> None:
    plan = family.plan()
    spelt = plan.target.model_copy(update={"programs": {"no-such-program": "no-such-pakcage"}})
    reason = failing_launch(family, replace(plan, target=spelt))
    assert re.search("setup failed at programs: .*no-such-pakcage", reason), reason


@pytest.mark.parametrize("family", ["opensuse-shape"], indirect=True)
def test_a_script_that_fails_is_named(family: Family) -> None:
    (family.folder / "broken.sh").write_text("#!/bin/bash\necho started\nls /no/such/folder\necho never\n")
    reason = failing_launch(family, family.plan(more='[[image.run]]\nscript = "broken.sh"\n'))
    assert re.search("setup failed at run broken.sh: /bin/bash: exit code 2: started .*no/such", reason), (
        reason
    )
    assert "never" not in reason


@pytest.mark.parametrize("family", ["ubuntu-shape"], indirect=True)
def test_a_wrong_hash_in_the_lock_is_named(family: Family) -> None:
    plan = family.plan()
    wrong = "sha256:" + "0" * 64
    lines = [
        re.sub(r"sha256:[0-9a-f]{64}", wrong, line) if line.startswith("numpy==") else line
        for line in plan.lock.lines
    ]
    reason = failing_launch(family, replace(plan, lock=replace(plan.lock, lines=tuple(lines))))
    assert re.search(
        "setup failed at environment: the index has other files than the lock: numpy==", reason
    ), reason


def failing_launch(family: Family, plan: Plan) -> str:
    """Return the error of the launch of a machine by user-data, which must fail."""
    return families.failing_launch(family.by_user_data(plan), family.steps, name=f"{family.name}-failing")
