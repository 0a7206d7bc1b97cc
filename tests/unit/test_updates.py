"""[updates]: what each family's machines install by themselves, and when they reboot."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from notebake.errors import SpecError
from notebake.plan.plan import Plan
from notebake.provision import files

APT = "root/etc/apt/apt.conf.d/90notebake"
ZYPPER = "root/etc/systemd/system/notebake-updates.service"
REBOOT = "root/etc/systemd/system/notebake-reboot.service"


def payload(plan: Plan) -> dict[str, str]:
    return {file.path: file.data.decode() for file in files.build(plan).files}


@pytest.mark.parametrize(
    ("text", "periodic", "origins"),
    [
        ("", "1", "archive=*-security"),
        ('[updates]\nautomatic = "all"', "1", "archive=*"),
        ('[updates]\nautomatic = "none"', "0", None),
    ],
)
@pytest.mark.parametrize("target", ["debian-13", "ubuntu-24.04"])
def test_apt_installs_what_the_spec_says(
    make_plan: Callable[..., Plan], target: str, text: str, periodic: str, origins: str | None
) -> None:
    found = payload(make_plan(text, target))
    lines = found[APT].splitlines()
    assert f'APT::Periodic::Unattended-Upgrade "{periodic}";' in lines
    assert f'APT::Periodic::Update-Package-Lists "{periodic}";' in lines
    # Lists of the distribution are cleared: theirs would be added.
    patterns = [line for line in lines if "Unattended-Upgrade::" in line and "Periodic" not in line]
    assert patterns == (
        [
            "#clear Unattended-Upgrade::Allowed-Origins;",
            "#clear Unattended-Upgrade::Origins-Pattern;",
            f'Unattended-Upgrade::Origins-Pattern {{ "{origins}"; }};',
        ]
        if origins
        else []
    )
    assert "qr(^notebake-notebook" in found["root/etc/needrestart/conf.d/notebake.conf"]
    config = json.loads(found["config.json"])
    assert config["timers"] == ["apt-daily.timer", "apt-daily-upgrade.timer"]
    assert ("unattended-upgrade" in config["programs"]) == (origins is not None)
    assert ZYPPER not in found and REBOOT not in found


@pytest.mark.parametrize(
    ("text", "target", "command"),
    [
        ("", "opensuse-leap-16.0", "patch --auto-agree-with-licenses --category security"),
        ('[updates]\nautomatic = "all"', "opensuse-leap-16.0", "update --auto-agree-with-licenses"),
        ("", "opensuse-tumbleweed", "dist-upgrade --auto-agree-with-licenses"),
    ],
)
def test_zypper_installs_what_the_spec_says(
    make_plan: Callable[..., Plan], text: str, target: str, command: str
) -> None:
    found = payload(make_plan(text, target))
    options = "--non-interactive --non-interactive-include-reboot-patches"
    assert found[ZYPPER].splitlines().count(f"ExecStart=/usr/bin/zypper {options} {command}") == 2
    # The timer alone is enabled and started.
    assert "units/notebake-updates.timer" in found and "units/notebake-updates.service" not in found
    assert APT not in found and not any("needrestart" in path for path in found)


def test_zypper_installs_nothing_without_updates(make_plan: Callable[..., Plan]) -> None:
    found = payload(make_plan('[updates]\nautomatic = "none"', "opensuse-leap-16.0"))
    assert not any("notebake-updates" in path for path in found)


@pytest.mark.parametrize("target", ["debian-13", "opensuse-leap-16.0"])
def test_a_machine_reboots_at_the_time_that_the_spec_names(
    make_plan: Callable[..., Plan], target: str
) -> None:
    found = payload(make_plan('[updates]\nreboot = "23:05"', target))
    assert "OnCalendar=*-*-* 23:05\n" in found["units/notebake-reboot.timer"]
    assert "notice.sh" in found[REBOOT]
    assert "units/notebake-reboot.service" not in found


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('automatic = "sometimes"', "updates.automatic: .*security.*all.*none"),
        ('reboot = "24:00"', "updates.reboot: .24:00. is not a time of the day, as in 04:00"),
        ('reboot = "4:00"', "updates.reboot"),
        ('reboot = "04:00\\nX"', "updates.reboot"),
        ("reboot = 04:00:00", "updates.reboot"),
        ("automatically = true", "updates.automatically: unknown key"),
    ],
)
def test_wrong_values_are_refused(make_plan: Callable[..., Plan], text: str, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        make_plan(f"[updates]\n{text}")


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("", {"NoAutoUpdate": 0, "AUOptions": 3, "AllowMUUpdateService": 0}),
        ('automatic = "none"', {"NoAutoUpdate": 1}),
        ('automatic = "none"\nreboot = "04:30"', {"NoAutoUpdate": 1}),
        (
            'automatic = "all"\nreboot = "04:30"',
            {
                "NoAutoUpdate": 0, "AUOptions": 4, "AllowMUUpdateService": 1, "ScheduledInstallDay": 0,
                "ScheduledInstallTime": 4, "AlwaysAutoRebootAtScheduledTime": 1,
            },
        ),
    ],
)  # fmt: skip
def test_windows_gets_the_policy_of_windows_update(
    make_plan: Callable[..., Plan], text: str, policy: dict[str, int]
) -> None:
    found = payload(make_plan(f"[updates]\n{text}", "windows-2025"))
    assert json.loads(found["config.json"])["updates"] == policy
    assert "Set-UpdatePolicy" in found["setup.ps1"]
