"""The answer files: well-formed, complete, with elements that Windows Setup knows; values are escaped."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.rendering import packer_files

from notebake import paths
from notebake.bake.windows import password
from notebake.plan import spec, targets
from notebake.plan.plan import Plan
from notebake.provision import files
from notebake.render import windows_packer

SHARED = paths.data_folder("images") / "_shared/windows"
N = "{urn:schemas-microsoft-com:unattend}"
STATE = "{http://schemas.microsoft.com/WMIConfig/2002/State}"
# (pass, component) -> the elements we use, each in the place it has in Microsoft's reference,
# https://learn.microsoft.com/windows-hardware/customize/desktop/unattend/
KNOWN = {
    ("windowsPE", "Microsoft-Windows-International-Core-WinPE"): """
        SetupUILanguage SetupUILanguage/UILanguage InputLocale SystemLocale UILanguage UserLocale""",
    ("windowsPE", "Microsoft-Windows-PnpCustomizationsWinPE"): """
        DriverPaths DriverPaths/PathAndCredentials DriverPaths/PathAndCredentials/Path""",
    ("windowsPE", "Microsoft-Windows-Setup"): """
        DiskConfiguration DiskConfiguration/Disk DiskConfiguration/Disk/DiskID
        DiskConfiguration/Disk/WillWipeDisk
        DiskConfiguration/Disk/CreatePartitions DiskConfiguration/Disk/CreatePartitions/CreatePartition
        DiskConfiguration/Disk/CreatePartitions/CreatePartition/Order
        DiskConfiguration/Disk/CreatePartitions/CreatePartition/Type
        DiskConfiguration/Disk/CreatePartitions/CreatePartition/Size
        DiskConfiguration/Disk/CreatePartitions/CreatePartition/Extend
        DiskConfiguration/Disk/ModifyPartitions DiskConfiguration/Disk/ModifyPartitions/ModifyPartition
        DiskConfiguration/Disk/ModifyPartitions/ModifyPartition/Order
        DiskConfiguration/Disk/ModifyPartitions/ModifyPartition/PartitionID
        DiskConfiguration/Disk/ModifyPartitions/ModifyPartition/Format
        DiskConfiguration/Disk/ModifyPartitions/ModifyPartition/Label
        DiskConfiguration/Disk/ModifyPartitions/ModifyPartition/Letter
        ImageInstall ImageInstall/OSImage ImageInstall/OSImage/InstallFrom
        ImageInstall/OSImage/InstallFrom/MetaData ImageInstall/OSImage/InstallFrom/MetaData/Key
        ImageInstall/OSImage/InstallFrom/MetaData/Value ImageInstall/OSImage/InstallTo
        ImageInstall/OSImage/InstallTo/DiskID ImageInstall/OSImage/InstallTo/PartitionID
        UserData UserData/AcceptEula UserData/ProductKey UserData/ProductKey/Key
        UserData/ProductKey/WillShowUI""",
    ("specialize", "Microsoft-Windows-Shell-Setup"): "ComputerName TimeZone",
    ("specialize", "Microsoft-Windows-Deployment"): """
        RunSynchronous RunSynchronous/RunSynchronousCommand RunSynchronous/RunSynchronousCommand/Order
        RunSynchronous/RunSynchronousCommand/Path RunSynchronous/RunSynchronousCommand/Description
        RunSynchronous/RunSynchronousCommand/WillReboot""",
    ("generalize", "Microsoft-Windows-PnpSysprep"): "PersistAllDeviceInstalls",
    ("oobeSystem", "Microsoft-Windows-International-Core"): "InputLocale SystemLocale UILanguage UserLocale",
    ("oobeSystem", "Microsoft-Windows-Shell-Setup"): """
        UserAccounts UserAccounts/AdministratorPassword UserAccounts/AdministratorPassword/Value
        UserAccounts/AdministratorPassword/PlainText AutoLogon AutoLogon/Username AutoLogon/Enabled
        AutoLogon/LogonCount AutoLogon/Password AutoLogon/Password/Value AutoLogon/Password/PlainText
        OOBE OOBE/HideEULAPage OOBE/HideLocalAccountScreen OOBE/ProtectYourPC
        FirstLogonCommands FirstLogonCommands/SynchronousCommand FirstLogonCommands/SynchronousCommand/Order
        FirstLogonCommands/SynchronousCommand/CommandLine""",
}
PASSES = [
    "windowsPE",
    "offlineServicing",
    "generalize",
    "specialize",
    "auditSystem",
    "auditUser",
    "oobeSystem",
]


def problems(text: bytes) -> list[str]:
    """Return what Windows Setup would refuse in an answer file, by the table above."""
    faults = []
    root = ElementTree.fromstring(text)
    passes = [element.get("pass", "") for element in root.iter(f"{N}settings")]
    if passes != sorted(passes, key=PASSES.index):
        faults.append("passes out of order")
    for settings in root:
        for component in settings:
            where = (settings.get("pass", ""), component.get("name", ""))
            if component.get("processorArchitecture") != "amd64":
                faults.append(f"{where}: architecture {component.get('processorArchitecture')}")
            known = set(KNOWN.get(where, "").split())
            faults += [f"{where}: {path}" for path in walk(component, "") if path not in known]
    for parent in root.iter():
        orders = [child.findtext(f"{N}Order") for child in parent if child.find(f"{N}Order") is not None]
        if orders and orders != [str(n) for n in range(1, len(orders) + 1)]:
            faults.append(f"{parent.tag}: order {orders}")
        if orders and any(child.get(f"{STATE}action") != "add" for child in parent):
            faults.append(f"{parent.tag}: wcm:action missing")
    return faults


def walk(element: ElementTree.Element, at: str) -> list[str]:
    elements = []
    for child in element:
        path = f"{at}/{child.tag.removeprefix(N)}".lstrip("/")
        elements += [path, *walk(child, path)]
    return elements


FILES = {"Autounattend.xml": SHARED / "answer/Autounattend.xml", "sysprep.xml": SHARED / "sysprep.xml"}


@pytest.mark.parametrize("path", FILES.values(), ids=FILES)
def test_windows_setup_knows_every_element(path: Path) -> None:
    assert problems(path.read_bytes()) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [("<TimeZone>UTC</TimeZone>", "<TimeZon>UTC</TimeZon>"), ('pass="specialize"', 'pass="oobeSystem"'),
     ('"amd64"', '"x86"'), ("<Order>2</Order>", "<Order>1</Order>"),
     ("Microsoft-Windows-Setup", "Microsoft-Setup"), ("<Key>/IMAGE/NAME</Key>", "<Name>x</Name>"),
     ('<CreatePartition wcm:action="add">', "<CreatePartition>")],
)  # fmt: skip
def test_a_broken_answer_file_is_refused(old: str, new: str) -> None:
    text = FILES["Autounattend.xml"].read_text()
    assert old in text and problems(text.replace(old, new).encode())


@pytest.mark.parametrize("name", ["windows-2025", "windows-2022"])
def test_everything_that_the_answer_files_name_exists(name: str, make_plan: Callable[..., Plan]) -> None:
    plan = make_plan(target=name)
    rendered = {file.path: file.data for file in packer_files(plan, sources=windows_packer.SOURCES)}
    text = rendered["answer/Autounattend.xml"].decode()
    root = ElementTree.fromstring(text)
    base = targets.get(name).base
    assert (
        isinstance(base, targets.WindowsMedia)
        and name[-4:] in base.image
        and base.drivers == f"2k{name[-2:]}"
    )
    values = [element.text for element in root.iter(f"{N}Value")]
    assert values == [f"{base.image} SERVERSTANDARD", None, None], "no password is rendered"
    # Files on the CD are searched on all drive letters: D: may be Setup's CD.
    assert set(re.findall(r"%d:\\([\w.]+)", text)) == {"winrm.ps1"} and "answer/winrm.ps1" in rendered
    # Windows is installed on the partition that becomes C:.
    assert root.findtext(f".//{N}InstallTo/{N}PartitionID") == "3"
    sysprep = rendered["sysprep.xml"].decode()
    (conf,) = re.findall(r'--config-file "([^"]+)"', sysprep)
    assert conf.rsplit("\\", 1)[1] in rendered
    install = rendered["scripts/cloudbase-init.ps1"].decode()
    assert "'cloudbase-init.conf', 'cloudbase-init-unattend.conf'" in install
    template = rendered["windows.pkr.hcl"].decode()
    sources = "".join(rendered[f"{name}.pkr.hcl"].decode() for name in windows_packer.SOURCES)
    for path in re.findall(r"\$\{path\.root\}/([\w./-]+)", template + sources):
        assert path in rendered, path
    (download,) = re.findall(
        r'direction += "download"\n +source += "C:/Windows/Temp/notebake/([\w.]+)"', template
    )
    scripts = {path: data.decode() for path, data in rendered.items() if path.endswith(".ps1")}
    for named in re.findall(
        r"(?:\$folder|C:\\Windows\\Temp\\notebake)\\([\w-]+\.(?:json|xml|tar\.gz))", "".join(scripts.values())
    ):
        assert named in rendered or named == download, named
    assert f"\\{download}'" in scripts["scripts/report.ps1"]
    (folder,) = re.findall(r"Remove-Item -LiteralPath '(.+)' -Recurse", scripts["scripts/close.ps1"])
    assert folder == r"C:\Windows\Temp\notebake", "the build's folder is not removed"


@given(
    value=st.text(
        st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff")
    )
)
def test_any_password_is_escaped_in_xml(value: str) -> None:
    plan = Plan(
        spec=spec.Spec(),
        target=targets.get("windows-2025"),
        lock=None,
        sources=None,
        notebooks=(),
        own_certificate=None,
    )  # type: ignore[arg-type]
    root = ElementTree.fromstring(windows_packer.answer(plan, value))
    clean = ElementTree.fromstring(windows_packer.answer(plan, ""))
    assert [element.text or "" for element in root.iter(f"{N}Value")][1:] == [value, value]
    assert [element.tag for element in root.iter()] == [element.tag for element in clean.iter()]


def test_the_build_password_meets_windows_rules() -> None:
    one, two = password(), password()
    assert one != two and len(one) == 32
    assert re.search("[a-z]", one) and re.search("[A-Z]", one) and re.search("[0-9]", one) and "-" in one


def test_the_settings_pin_every_download() -> None:
    settings = json.loads((SHARED / "settings.json").read_text())
    for pin in (settings["cloudbase_init"], settings["virtio_win"]):
        assert re.fullmatch("[0-9a-f]{64}", pin["sha256"])


def test_packers_archive_has_the_lock_and_the_programs(make_plan: Callable[..., Plan]) -> None:
    names = {file.path for file in files.build(make_plan(target="windows-2025")).files}
    programs = {"setup.ps1", "configure.py", "service.py", "certificate.py", "serve.py"}
    assert programs | {"requirements.txt"} <= names


def test_setup_asks_for_no_product_key_and_takes_one(make_plan: Callable[..., Plan]) -> None:
    plan = make_plan(target="windows-2025")
    where = f".//{N}UserData/{N}ProductKey"
    plain = ElementTree.fromstring(windows_packer.answer(plan, "x")).find(where)
    assert plain is not None and [(child.tag, child.text) for child in plain] == [
        (f"{N}WillShowUI", "OnError")
    ]
    text = windows_packer.answer(plan, "x", "AAAAA-BBBBB-CCCCC-DDDDD-EEEEE")
    assert ElementTree.fromstring(text).findtext(f"{where}/{N}Key") == "AAAAA-BBBBB-CCCCC-DDDDD-EEEEE"
    assert problems(text) == []


def test_the_key_is_in_no_rendered_file(make_plan: Callable[..., Plan]) -> None:
    plan = make_plan('[windows]\nproduct_key = "AAAAA-BBBBB-CCCCC-DDDDD-EEEEE"', target="windows-2025")
    assert not [file.path for file in packer_files(plan) if b"BBBBB" in file.data]


@pytest.mark.parametrize(
    ("edition", "image", "cloud"),
    [("standard", "SERVERSTANDARD", "Full"), ("standard-core", "SERVERSTANDARDCORE", "Core"),
     ("datacenter", "SERVERDATACENTER", "Full"), ("datacenter-core", "SERVERDATACENTERCORE", "Core")],
)  # fmt: skip
def test_the_editions(edition: str, image: str, cloud: str, make_plan: Callable[..., Plan]) -> None:
    plan = make_plan(f'[windows]\nedition = "{edition}"', target="windows-2025")
    assert f"<Value>Windows Server 2025 {image}</Value>" in windows_packer.answer(plan, "x").decode()
    values = windows_packer.variables(plan)
    assert values["aws_source_ami_name"] == f"Windows_Server-2025-English-{cloud}-Base-*"
    assert (
        ("core" in values["azure_sku"]) == ("core" in values["gcp_source_image_family"]) == (cloud == "Core")
    )


def test_clones_have_the_clock_in_utc() -> None:
    """Setup's own answer file sets it, but sysprep resets it."""
    for path in FILES.values():
        root = ElementTree.parse(path).getroot()
        (zone,) = root.iterfind(f"./{N}settings[@pass='specialize']/{N}component/{N}TimeZone")
        assert zone.text == "UTC"
    for name in ("cloudbase-init.conf", "cloudbase-init-unattend.conf"):
        assert "real_time_clock_utc = true" in (SHARED / name).read_text()


def test_packer_presses_a_key_for_as_long_as_it_may_be_asked_for() -> None:
    for name in ("qemu", "hyperv-iso"):
        assert "for second in range(40)" in (SHARED / f"{name}.pkr.hcl").read_text()


def test_sysprep_is_not_told_that_clones_have_the_same_hypervisor() -> None:
    assert "/mode:vm" not in (SHARED / "scripts/sysprep.ps1").read_text()
