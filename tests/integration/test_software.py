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
    assert inventory.os_packages.keys() == inventory.os_origins.keys()
    assert inventory.os_origins["libc6"].source == "glibc"
    kib = process.run(["dpkg-query", "-W", "-f=${Installed-Size}", "libc6"], timeout=60).stdout
    assert inventory.os_sizes["libc6"] == int(kib) * 1024
    for _, name, version in installed:
        assert version in (inventory.os_packages[name], inventory.os_packages.get(f"{name}:amd64"))
    assert inventory.system.packages == "deb" and inventory.users["root"].startswith("0 /")
    assert inventory.setuid == {"/usr/bin/su": "4755 root:root"}


_RPM = """#!/bin/sh
printf 'bash\\tx86_64\\t5.2.37-160000.1.2\\tbash-5.2.37-160000.1.2.src.rpm\\t\\t4000\\n'
printf 'gpg-pubkey\\t(none)\\t1-1\\t(none)\\t\\t0\\n'
printf 'kernel-default\\tx86_64\\t6.12.0-1\\tkernel-default-6.12.0-1.nosrc.rpm\\t\\t5000000000\\n'
printf 'kernel-default\\tx86_64\\t6.12.0-2\\tkernel-default-6.12.0-2.nosrc.rpm\\t\\t2\\n'
printf 'libdbus-1-3\\tx86_64\\t1:1.14-3\\tdbus-1-1.14-3.src.rpm\\t\\t3\\n'
"""


def test_rpm_packages_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for rpm, which prints what its query format asks for."""
    (tmp_path / "rpm").write_text(_RPM)
    (tmp_path / "rpm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.syspath_prepend(str(REPORT.parent))
    import report

    packages, origins, sizes = report.os_packages("rpm")
    assert packages == {
        "bash": "5.2.37-160000.1.2",
        "libdbus-1-3": "1:1.14-3",
        "kernel-default": "6.12.0-1",
        "kernel-default:6.12.0-2": "6.12.0-2",
    }
    assert sizes == {
        "bash": 4000, "libdbus-1-3": 3, "kernel-default": 5_000_000_000, "kernel-default:6.12.0-2": 2,
    }  # fmt: skip
    known = catalogs.real().software.model_dump(mode="json")
    known["system"] |= {"id": "opensuse-leap", "version": "16.0", "packages": "rpm"}
    inventory = software.Software.model_validate(known | {"os_packages": packages, "os_origins": origins})
    leap = "arch=x86_64&distro=opensuse-leap-16.0"
    assert purls(inventory, "rpm") == {
        f"pkg:rpm/opensuse/bash@5.2.37-160000.1.2?{leap}&upstream=bash-5.2.37-160000.1.2.src.rpm",
        f"pkg:rpm/opensuse/kernel-default@6.12.0-1?{leap}&upstream=kernel-default-6.12.0-1.nosrc.rpm",
        f"pkg:rpm/opensuse/kernel-default@6.12.0-2?{leap}&upstream=kernel-default-6.12.0-2.nosrc.rpm",
        f"pkg:rpm/opensuse/libdbus-1-3@1.14-3?{leap}&epoch=1&upstream=dbus-1-1.14-3.src.rpm",
    }


def purls(inventory: software.Software, kind: str) -> set[str]:
    """Return the purls of one type in the SBOM of an image with this software."""
    document = json.loads(sbom.render(catalogs.real().model_copy(update={"software": inventory})))
    rows = [row["purl"] for row in document["components"] if "purl" in row]
    return {purl for purl in rows if purl.startswith(f"pkg:{kind}/")}


def test_a_debian_package_has_the_purl_that_scanners_match() -> None:
    """Advisories are by source package, so a purl without it hides most of them."""
    origins = {
        "bash": ("amd64", "bash", "5.2.37-2"),
        "libssl3t64": ("amd64", "openssl", "3.5.1-1"),
        "libssl3t64:i386": ("i386", "openssl", "3.5.1-1"),
        "login": ("amd64", "shadow", "1:4.17.4-2"),
        "adduser": ("all", "adduser", "3.152"),
    }
    versions = {
        "bash": "5.2.37-2+b5", "libssl3t64": "3.5.1-1", "libssl3t64:i386": "3.5.1-1",
        "login": "1:4.16.0-2+really2.41-5", "adduser": "3.152",
    }  # fmt: skip
    fields = "architecture", "source", "source_version"
    known = catalogs.real().software.model_dump(mode="json")
    known |= {
        "os_packages": versions,
        "os_origins": {name: dict(zip(fields, row, strict=True)) for name, row in origins.items()},
    }
    assert purls(software.Software.model_validate(known), "deb") == {
        "pkg:deb/debian/bash@5.2.37-2%2Bb5?arch=amd64&distro=debian-13&upstream=bash%405.2.37-2",
        "pkg:deb/debian/libssl3t64@3.5.1-1?arch=amd64&distro=debian-13&upstream=openssl",
        "pkg:deb/debian/libssl3t64@3.5.1-1?arch=i386&distro=debian-13&upstream=openssl",
        "pkg:deb/debian/login@1:4.16.0-2%2Breally2.41-5?arch=amd64&distro=debian-13&upstream=shadow%401:4.17.4-2",
        "pkg:deb/debian/adduser@3.152?arch=all&distro=debian-13",
    }


def test_a_machine_without_an_enabled_unit_has_an_inventory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemctl exits 1 where nothing matches its filter; the stand-in does so too."""
    script = '#!/bin/sh\ncase "$*" in *--state*) exit 1;; esac\nprintf "a.service static -\\n"\n'
    (tmp_path / "systemctl").write_text(script)
    (tmp_path / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.syspath_prepend(str(REPORT.parent))
    import report

    assert report.units() == {}


def test_the_size_of_a_python_package_includes_its_bytecode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RECORD names a file that is missing, a program outside, and no bytecode."""
    site = tmp_path / "lib/python3.13/site-packages"
    files = {
        "some_name/__init__.py": 10,
        "some_name/data.bin": 200,
        "some_name/__pycache__/__init__.cpython-313.pyc": 3000,
        "other.py": 40_000,
        "__pycache__/other.cpython-313.pyc": 500_000,
        "../../../bin/some": 6_000_000,
    }
    for name, size in files.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_bytes(b"x" * size)
    info = site / "some_name-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: Some_Name\nVersion: 1.5\n")
    named = ["some_name/__init__.py", "some_name/data.bin", "some_name/gone.py", "../../../bin/some"]
    (info / "RECORD").write_text("".join(f"{name},,\n" for name in named))
    monkeypatch.syspath_prepend(str(REPORT.parent))
    import report

    monkeypatch.setattr(report, "ENVIRONMENT", tmp_path)
    assert report.python_packages() == ({"some-name": "1.5"}, {"some-name": 6_003_210})


# Written by hand after report.ps1, as PowerShell would write it.
_WINDOWS = (Path(__file__).parents[1] / "data/windows-software.json").read_text()


def test_the_inventory_of_windows_is_read_and_compared(tmp_path: Path) -> None:
    path = tmp_path / "software.json"
    path.write_text(_WINDOWS)
    old = catalogs.real().model_copy(update={"target": "windows-2025", "software": software.load(path)})
    document = sbom.render(old)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(document.decode()) is None
    found = {row["purl"] for row in json.loads(document)["components"] if "purl" in row}
    assert "pkg:generic/windows/KB5044284@Security%20Update?distro=windows-10.0.26100" in found
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
    (system,) = (row for row in parsed["components"] if row["type"] == "operating-system")
    assert (system["name"], system["version"]) == ("debian", "13")
    packages = [row for row in parsed["components"] if row is not system]
    assert len(packages) == len(record.software.os_packages) + len(record.software.python_packages)
    found = {row["purl"] for row in packages}
    assert f"pkg:pypi/numpy@{record.software.python_packages['numpy']}" in found
    assert any(purl.startswith("pkg:deb/debian/openssh-server@") for purl in found)
    assert parsed["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": record.image.sha256}]
