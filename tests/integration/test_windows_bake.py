"""The real Packer bakes a whole Windows image. QEMU and Windows are stand-ins: windows_machine.py."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.certificates import NOW
from tests.windows_media import wheels, wim, windows_iso

from notebake import process
from notebake.bake import bake, windows_media
from notebake.bake import wheelhouse as bake_wheels
from notebake.errors import CommandFailed
from notebake.files import RenderedFile
from notebake.plan.plan import Plan
from notebake.progress import Steps
from notebake.provision import files
from notebake.render import windows_packer

MACHINE = Path(__file__).with_name("windows_machine.py")
UPLOADS = [
    *("guest.tar.gz", "settings.json", "cloudbase-init.conf", "cloudbase-init-unattend.conf", "sysprep.xml"),
    *("sysprep-failures.json", "finish.ps1", "seal.ps1", "sysprep.ps1", "close.ps1"),
]


class Bench:
    """A spec, media and the stand-in machine in a folder; `bake` runs the whole bake."""

    def __init__(self, folder: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.plan, self.machine = folder, plan, folder / "machine"
        self.machine.mkdir()
        import certificate

        key, pem = certificate.make(["windows"], datetime.now(UTC))
        (self.machine / "key.pem").write_bytes(key)
        (self.machine / "cert.pem").write_bytes(pem)
        shutil.copy(MACHINE.parents[1] / "data/windows-software.json", self.machine / "software.json")
        program = folder / "bin/qemu-system-x86_64"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{MACHINE}" "{self.machine}" "$@"\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
        # An ISO of this test instead of the pinned release of virtio-win.
        monkeypatch.setattr(windows_media, "check_drivers", lambda given, folder: folder / "virtio.iso")
        folder_of_wheels = wheels()
        monkeypatch.setattr(bake_wheels, "fetch", lambda *_: folder_of_wheels)

    def faults(self, **given: Any) -> None:
        (self.machine / "faults.json").write_text(json.dumps(given))

    def bake(self) -> bake.Baked:
        return bake.bake(
            self.plan, output=self.folder / "baked", accel="tcg", steps=Steps(), now=NOW,
            folder=self.folder,
        )  # fmt: skip

    @property
    def events(self) -> list[list[Any]]:
        return [json.loads(line) for line in (self.machine / "events.jsonl").read_text().splitlines()]

    @property
    def log(self) -> str:
        return (self.folder / "baked/windows-2025.log").read_text()

    def of(self, kind: str) -> list[list[Any]]:
        return [event[1:] for event in self.events if event[0] == kind]


@pytest.fixture
def bench(
    tmp_path: Path, make_plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Bench]:
    def make(*changes: tuple[str, str, str], **faults: Any) -> Bench:
        for driver in ("viostor", "NetKVM", "vioscsi", "vioserial", "Balloon", "viorng"):
            folder = tmp_path / f"virtio/{driver}/2k25/amd64"
            folder.mkdir(parents=True)
            (folder / f"{driver.lower()}.inf").write_text(driver)
        (tmp_path / "virtio/guest-agent").mkdir()
        (tmp_path / "virtio/guest-agent/qemu-ga-x86_64.msi").write_text("agent")
        xorriso = ["xorriso", "-as", "mkisofs", "-quiet", "-J", "-R"]
        process.run([*xorriso, "-o", tmp_path / "virtio.iso", tmp_path / "virtio"], timeout=60)
        digest = windows_iso(tmp_path / "windows.iso", wim(["Windows Server 2025 SERVERDATACENTERCORE"]))
        text = f'[windows]\niso = "windows.iso"\niso_sha256 = "{digest}"\nedition = "datacenter-core"\n'
        plan = make_plan(text + 'product_key = "aaaaa-bbbbb-ccccc-ddddd-eeeee"', target="windows-2025")
        plain = windows_packer.packer_files

        def changed(*args: Any) -> Any:
            rendered = {item.path: item for item in plain(*args)}
            for path, old, new in (PRESSES, *changes):
                assert old.encode() in rendered[path].data
                data = rendered[path].data.replace(old.encode(), new.encode(), 1)
                rendered[path] = RenderedFile(path=path, data=data)
            return tuple(rendered.values())

        monkeypatch.setattr(windows_packer, "packer_files", changed)
        made = Bench(tmp_path, plan, monkeypatch)
        made.faults(**faults)
        return made

    return make


def test_every_step_of_a_bake_in_order(bench: Callable[..., Bench]) -> None:
    """Windows answers slowly, restarts by itself during updates, and ends log-ins after sysprep."""
    box = bench()
    baked = box.bake()
    assert baked.created and baked.image.exists()
    assert baked.record.software.os_packages["windows"] == "10.0.26100.2894"
    (machine,) = box.of("machine")
    assert {"virtio-net", "virtio-scsi-pci", "virtio-serial-pci", "tpm-crb"} <= set(machine[0])
    staged = {f"/staged/{name}/{name.lower()}.inf" for name in ("vioscsi", "vioserial", "Balloon", "viorng")}
    needed = {"/drivers/viostor/viostor.inf", "/drivers/NetKVM/netkvm.inf", "/staged/qemu-ga-x86_64.msi"}
    assert set(machine[1]) - {"/.notebake"} == {"/Autounattend.xml", "/winrm.ps1", *needed, *staged}
    assert box.of("pressed") == [[3]]
    payload = files.build(box.plan)
    wheels = sorted(line.rsplit(":", 1)[1] for line in box.plan.lock.lines)
    assert box.events[2:] == [
        *(["upload", name] for name in UPLOADS),
        ["run", "install", {"NOTEBAKE_SERVE_WHEELS": "yes"}],
        # The real pip got each wheel of the lock from Packer's web server.
        ["installed", payload.digest, wheels],
        ["run", "updates", {"NOTEBAKE_UPDATES": "yes"}],
        ["restart"],
        # The same step again. Packer 1.6.6 loses its variables: the file with them arrives empty.
        ["run", "updates", {}],
        ["restart"],
        # Nothing was installed, so Windows is not restarted.
        ["run", "updates", {"NOTEBAKE_UPDATES": "yes"}],
        ["run", "updates", {"NOTEBAKE_UPDATES": "yes"}],
        ["restart"],
        ["run", "drivers", {}],
        ["run", "cloudbase-init", {}],
        ["run", "clean", {}],
        ["run", "report", {}],
        ["download", "software.json"],
        ["finish", "qemu"],
        ["generalized"],
        ["closed"],
        ["shutdown"],
    ]


# One Enter a second: 40 would take 40 seconds.
PRESSES = ("qemu.pkr.hcl", "range(40)", "range(3)")
# Packer's patience, in these tests.
SOON = ("windows.pkr.hcl", 'default = "45m"', 'default = "5s"')


def test_a_failed_sysprep_fails_the_bake_with_its_reason(bench: Callable[..., Bench]) -> None:
    box = bench(SOON, sysprep=True)
    with pytest.raises(CommandFailed, match="a package was installed for a user"):
        box.bake()
    assert not (box.folder / "baked/windows-2025.qcow2").exists()
    assert "Timeout while waiting for machine to shut down" in box.log


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("qemu.pkr.hcl", "  http_directory    = var.wheelhouse\n", ""), "Packer serves no wheels"),
        # WinRM is closed before Windows shuts down.
        (("qemu.pkr.hcl", "finish.ps1 -Builder qemu", "close.ps1"), "Timeout while waiting"),
    ],
    ids=["wheels-not-served", "winrm-closed-first"],
)
def test_what_stopped_every_bake_before(
    bench: Callable[..., Bench], change: tuple[str, str, str], says: str
) -> None:
    box = bench(SOON, change)
    with pytest.raises(CommandFailed) as caught:
        box.bake()
    assert says in f"{caught.value.message}\n{box.log}"
    assert not (box.folder / "baked/windows-2025.qcow2").exists()
