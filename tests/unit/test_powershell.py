"""All PowerShell scripts pass the linter, and the linter finds each kind of mistake."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.powershell import lint as linter
from tests.powershell.lint import lint
from tests.rendering import user_data

from notebake import paths
from notebake.plan.plan import Plan
from notebake.record.software import Software, System
from notebake.render import windows

# What a task of SYSTEM runs, or a script that was started so.
AS_SYSTEM = {"setup.ps1", "seal.ps1", "sysprep.ps1", "close.ps1", "updates.ps1", "finish.ps1"}
SCRIPTS = sorted(path for name in ("images", "cloud-init") for path in paths.data_folder(name).rglob("*.ps1"))
HEAD = "Set-StrictMode -Version Latest\n$ErrorActionPreference = 'Stop'\n"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_the_scripts_pass(path: Path) -> None:
    known = frozenset({"Archive"}) if path.name == "first-boot.ps1" else frozenset[str]()
    given = environment(path)
    assert lint(path.read_text("utf-8"), known=known, environment=given, system=path.name in AS_SYSTEM) == []


def environment(path: Path) -> frozenset[str]:
    """Return the environment variables that Packer's template gives to a script."""
    template = (paths.data_folder("images") / "_shared/windows/windows.pkr.hcl").read_text()
    steps = template.split("  provisioner ")
    lines = "".join(step for step in steps if f"scripts/{path.name}" in step)
    found = set(re.findall(r'environment_vars += \["(\w+)=', lines))
    # finish.ps1 sets it for those that it runs.
    found |= {"NOTEBAKE_BUILDER"} if path.name in AS_SYSTEM else set()
    return frozenset(found | {"PACKER_HTTP_ADDR"} if found else found)


def test_all_scripts_are_found() -> None:
    assert {path.name for path in SCRIPTS} >= {"setup.ps1", "first-boot.ps1", "sysprep.ps1", "winrm.ps1"}


def test_rendered_scripts_pass(make_plan: Callable[..., Plan]) -> None:
    clouds = user_data(make_plan(target="windows-2025")).clouds
    for form in clouds.values():
        text = form.decode("ascii")
        script = re.sub(r"</?powershell>\n", "", text).removeprefix("#ps1_sysnative\n")
        archive, _, rest = script.partition("\n")
        assert re.fullmatch(r"\$Archive = '[A-Za-z0-9+/=]+'", archive)
        assert lint(rest, known=frozenset({"Archive"})) == []
    command = json.loads(windows.azure_extension())["commandToExecute"]
    inner = re.fullmatch(r'powershell\.exe -NoProfile -ExecutionPolicy Bypass -Command "([^"]+)"', command)
    assert inner is not None
    script = inner[1].replace("; ", "\n").rsplit("\n", 1)[0]
    assert lint(script, part=True) == []


def test_the_table_has_only_commands_that_are_used() -> None:
    everything = "\n".join(path.read_text("utf-8") for path in SCRIPTS).lower()
    assert [name for name in linter.COMMANDS if name.lower() not in everything] == []


BROKEN = {
    "a brace is not closed": ("if ($true) {", "syntax"),
    "a quote is not closed": ("Write-Output 'x", "syntax"),
    "a bracket is not closed": ("$x = (1 + 2\nWrite-Output $x", "syntax"),
    "ternary": ("$x = $true ? 1 : 2\nWrite-Output $x", "syntax"),
    "null coalescing": ("$x = $null ?? 1\nWrite-Output $x", "syntax"),
    "null coalescing assignment": ("$x = $null\n$x ??= 1\nWrite-Output $x", "syntax"),
    "chain of commands": ("Write-Output 1 && Write-Output 2", "powershell-7"),
    "or chain": ("Write-Output 1 || Write-Output 2", "powershell-7"),
    "misspelt command": ("Write-Outptu 1", "unknown-command"),
    "alias": ("iex 'x'", "unknown-command"),
    "command of PowerShell 7": ("Get-Uptime", "unknown-command"),
    "command of another system": ("grep x y", "unknown-command"),
    "misspelt parameter": ("Start-Service -Naem notebake", "unknown-parameter"),
    "parameter of PowerShell 7": ("Get-Content -LiteralPath x -AsByteStream", "unknown-parameter"),
    "no certificate check": (
        "Invoke-WebRequest -UseBasicParsing -Uri x -SkipCertificateCheck", "unknown-parameter",
    ),
    "wrong key in a splat": ("$rule = @{ Nmae = 'x' }\nNew-NetFirewallRule @rule", "unknown-parameter"),
    "splat of nothing": ("New-NetFirewallRule @rule", "unknown-splat"),
    "colon after a variable": ('$name = 1\nWrite-Output "$name: x"', "colon-after-variable"),
    "property in a string": ('$name = 1\nWrite-Output "$name.Length"', "property-in-string"),
    "assignment to a literal": ("5 = 3", "assignment-to-literal"),
    "misspelt variable": ("$name = 1\nWrite-Output $nmae $name", "undefined-variable"),
    "variable for nothing": ("$name = 1", "unused-variable"),
    "native program unchecked": ("sc.exe query notebake", "unchecked-native"),
    "native program by path unchecked": ('& "$env:SystemRoot\\x.exe" /y\nWrite-Output 1', "unchecked-native"),
    "native program checked too late": (
        "sc.exe query x\nWrite-Output 1\nif ($LASTEXITCODE -ne 0) { throw 'x' }", "unchecked-native",
    ),
    "process started and forgotten": ("Start-Process -FilePath a.exe -Wait", "unchecked-native"),
    "try without catch": ("try { Write-Output 1 } finally { Write-Output 2 }", "try-without-catch"),
    "empty catch": ("try { Write-Output 1 } catch { }", "empty-catch"),
    "error stream into output": ("Write-Output 1 2>&1", "redirection"),
    "assignment in a condition": ("$x = 1\nif ($x = 2) { Write-Output $x }", "assignment-in-condition"),
    "the update agent in Packer's session": (
        "$x = New-Object -ComObject 'Microsoft.Update.Session'\nWrite-Output $x", "needs-system",
    ),
    "sysprep in Packer's session": (
        "& C:\\Windows\\System32\\Sysprep\\Sysprep.exe /generalize\nif ($LASTEXITCODE -ne 0) { throw 'x' }",
        "needs-system",
    ),
    "sysprep by a variable": ("$program = 'C:\\Windows\\Sysprep.exe'\nWrite-Output $program", "needs-system"),
    "the listener closed in Packer's session": (
        "Get-ChildItem -Path 'WSMan:\\localhost\\Listener' | Remove-Item -Recurse", "needs-system",
    ),
    "a variable of the environment that nobody sets": (
        "Write-Output $env:NOTEBAKE_WHEELHOUSE", "unset-environment",
    ),
    "one of another step": ("if ($env:PACKER_HTTP_ADDR) { Write-Output 1 }", "unset-environment"),
    "one in a string": ('Write-Output "http://$env:PACKER_HTTP_ADDR"', "unset-environment"),
    "one read before it is set": ("Write-Output $env:MINE\n$env:MINE = 'x'", "unset-environment"),
    "one by its name": (
        "$x = [Environment]::GetEnvironmentVariable('MINE')\nWrite-Output $x", "unset-environment",
    ),
    "a failure that is swallowed": (
        "Remove-Item -LiteralPath x -ErrorAction SilentlyContinue", "swallowed-failure",
    ),
    "a failure that is ignored": ("Stop-Service -Name x -ErrorAction Ignore", "swallowed-failure"),
    "failures that are swallowed from here on": (
        "$ErrorActionPreference = 'SilentlyContinue'", "swallowed-failure",
    ),
    "another type in a parameter": (
        "function Get-X([switch] $Watch) {\n  $watch = 5\n  return $watch\n}\nGet-X",
        "assignment-to-parameter",
    ),
    "a dash from a word processor": ("Write-Output 1 \N{EN DASH}Verbose", "not-ascii"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "rule"), BROKEN.values(), ids=BROKEN)
def test_broken_scripts_are_refused(text: str, rule: str) -> None:
    assert rule in {problem.rule for problem in lint(HEAD + text)}


def test_a_script_that_is_not_strict_is_refused() -> None:
    assert [problem.rule for problem in lint("Write-Output 1")] == ["not-strict", "not-strict"]
    assert lint(HEAD + "Write-Output 1") == []


def test_sysprep_failures_are_recognized() -> None:
    """The patterns are regular expressions that Python and .NET read in the same way."""
    failures = json.loads((paths.data_folder("images") / "_shared/windows/sysprep-failures.json").read_text())
    lines = (
        "SYSPRP Package Microsoft.Winget.Source_2025.1.1.0_neutral__8wekyb3d8bbwe was installed for a user, "
        "but not provisioned for all users. This package will not function properly in the sysprep image.",
        "SYSPRP BitLocker-Sysprep: BitLocker is on for the OS volume. Turn BitLocker off to run Sysprep.",
        "SYSPRP Failed to remove apps for the current user: 0x80073cf2.",
        "SYSPRP ActionPlatform::LaunchModule: RunExternalDlls: An error occurred while running registry; "
        "failed",
        "Sysprep_Clean_Validate_Opk: reserved storage is in use by updates",
        "SYSPRP WinMain: the machine is in an invalid state or couldn't update the recorded state",
        "A fatal error occurred while trying to sysprep the machine",
    )
    for failure, line in zip(failures, lines, strict=True):
        assert re.search(failure["pattern"], line) and failure["advice"].endswith(".")
        assert not re.search(failure["pattern"], "SYSPRP Sysprep_Generalize: all is well")


def test_the_inventory_script_writes_every_field() -> None:
    text = (paths.data_folder("images") / "_shared/windows/scripts/report.ps1").read_text()
    keys = re.findall(r"^  (\w+) +=", text[text.index("$report =") :], re.MULTILINE)
    assert keys == list(Software.model_fields)
    system = re.search(r"^  system +=(.*)", text, re.MULTILINE)
    assert system is not None
    assert re.findall(r"(\w+) = ", system[1]) == list(System.model_fields)


def test_the_inventory_script_finds_the_environment_of_set_up() -> None:
    scripts = paths.data_folder("images") / "_shared/windows/scripts"
    report, install = (scripts / "report.ps1").read_text(), (scripts / "install.ps1").read_text()
    set_up = (paths.data_folder("cloud-init") / "windows/setup.ps1").read_text()
    # setup.ps1 is in a folder below it.
    (root,) = re.findall(r"Join-Path \$env:ProgramFiles '(.*)'", install)
    (prefix,) = re.findall(r'Join-Path \$root "(.*?)\$\(', set_up)
    assert f"(Join-Path $env:ProgramFiles '{root}') -Directory -Filter '{prefix}*'" in report
