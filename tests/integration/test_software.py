"""The software inventory of this host, and the SBOM made from an inventory, checked by CycloneDX' schema."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from tests import catalogs

from notebake import paths, process
from notebake.record import diff, sbom, software

REPORT = paths.data_folder("images") / "_shared/linux/scripts/report.py"


def test_the_inventory_lists_this_hosts_packages(tmp_path: Path) -> None:
    """The script as the machine runs it, except `find`, which would take too long here."""
    stand_ins = tmp_path / "bin"
    stand_ins.mkdir()
    (stand_ins / "find").write_text("#!/bin/sh\nprintf '4755 root:root\\t/usr/bin/su\\n'\n")
    (stand_ins / "find").chmod(0o755)
    path = tmp_path / "software.json"
    done = process.run(
        [sys.executable, REPORT], timeout=120, env={"PATH": f"{stand_ins}:{os.environ['PATH']}"}
    )
    path.write_bytes(done.stdout)
    inventory = software.load(path)
    rows = process.run(["dpkg-query", "-W", "-f=${db:Status-Abbrev} ${Package} ${Version}\n"], timeout=60)
    installed = [row.split() for row in rows.stdout.decode().splitlines() if row.startswith("ii")]
    assert len(inventory.os_packages) == len(installed) > 50
    for _, name, version in installed:
        assert version in (inventory.os_packages[name], inventory.os_packages.get(f"{name}:amd64"))
    assert inventory.system.packages == "deb" and inventory.users["root"].startswith("0 /")
    assert inventory.setuid == {"/usr/bin/su": "4755 root:root"}


_RPM = """#!/bin/sh
printf 'bash\\tx86_64\\t5.2.37-160000.1.2\\ngpg-pubkey\\t(none)\\t1-1\\n'
printf 'kernel-default\\tx86_64\\t6.12.0-1\\nkernel-default\\tx86_64\\t6.12.0-2\\n'
printf 'dbus-1\\tx86_64\\t1:1.14-3\\n'
"""


def test_rpm_packages_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for rpm, which prints what its query format asks for."""
    (tmp_path / "rpm").write_text(_RPM)
    (tmp_path / "rpm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.syspath_prepend(str(REPORT.parent))
    import report

    assert report.os_packages("rpm") == {
        "bash": "5.2.37-160000.1.2",
        "dbus-1": "1:1.14-3",
        "kernel-default": "6.12.0-1",
        "kernel-default:6.12.0-2": "6.12.0-2",
    }


# Written by hand after report.ps1, as PowerShell would write it.
_WINDOWS = """{"system": {"id": "windows", "version": "10.0.26100", "title": "Windows Server 2025",
 "packages": "generic"},
 "python": "3.13.5", "os_packages": {"windows": "10.0.26100.2894", "Python 3.13.5 (64-bit)": "3.13.5150.0",
 "KB5044284": "Security Update"}, "python_packages": {"numpy": "2.3.1"}, "units": {"notebake": "automatic"},
 "ports": ["tcp 0.0.0.0 9999"], "users": {"Administrator": "500 disabled"}, "setuid": {},
 "firewall": ["Allow Any TCP 9999: notebake"]}"""


def test_the_inventory_of_windows_is_read_and_compared(tmp_path: Path) -> None:
    path = tmp_path / "software.json"
    path.write_text(_WINDOWS)
    old = catalogs.real().model_copy(update={"target": "windows-2025", "software": software.load(path)})
    document = sbom.render(old)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(document.decode()) is None
    purls = {row["purl"] for row in json.loads(document)["components"]}
    assert "pkg:generic/windows/KB5044284@Security%20Update?distro=windows-10.0.26100" in purls
    path.write_text(_WINDOWS.replace("26100.2894", "26100.3194").replace("KB5044284", "KB5051987"))
    new = old.model_copy(update={"software": software.load(path)})
    difference = diff.difference(old, new)
    assert difference.level == "minor" and "KB5051987" in diff.text(difference)


def test_the_sbom_is_valid_cyclonedx_1_6_and_reproducible() -> None:
    record = catalogs.real()
    document = sbom.render(record)
    assert document == sbom.render(record)
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(document.decode()) is None
    assert validator.validate_str(document.decode().replace('"library"', '"libary"')) is not None
    parsed = json.loads(document)
    assert len(parsed["components"]) == len(record.software.os_packages) + len(
        record.software.python_packages
    )
    purls = {row["purl"] for row in parsed["components"]}
    assert f"pkg:pypi/numpy@{record.software.python_packages['numpy']}" in purls
    assert any(purl.startswith("pkg:deb/debian/openssh-server@") for purl in purls)
    assert parsed["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": record.image.sha256}]
