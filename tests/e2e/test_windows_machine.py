"""The machine for installing Windows, without Windows: the real Packer starts it with UEFI, an emulated TPM,
the answer CD and an empty ISO, and gives up after its timeout.
"""

from __future__ import annotations

import json
import os
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.rendering import packer_files

from notebake import accelerator, process
from notebake.bake import packer, windows, windows_media
from notebake.errors import CommandFailed
from notebake.files import sha256, write_folder
from notebake.plan import plan, spec, targets
from notebake.render import windows_packer


def test_packer_starts_the_machine_and_gives_up_after_its_timeout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for driver in ("viostor", "NetKVM", "vioscsi", "vioserial", "Balloon", "viorng"):
        folder = tmp_path / "virtio" / driver / "2k25/amd64"
        folder.mkdir(parents=True)
        (folder / f"{driver}.inf").write_text(driver)
    (tmp_path / "virtio/guest-agent").mkdir()
    (tmp_path / "virtio/guest-agent/qemu-ga-x86_64.msi").write_text("agent")
    xorriso = ["xorriso", "-as", "mkisofs", "-quiet", "-J", "-R"]
    process.run([*xorriso, "-o", tmp_path / "virtio.iso", tmp_path / "virtio"], timeout=60)
    (tmp_path / "windows.iso").write_bytes(bytes(1 << 20))
    text = f'[windows]\niso = "windows.iso"\niso_sha256 = "{sha256(tmp_path / "windows.iso")}"\n'
    its_plan = plan.make(
        spec.parse(text, source="x"), targets.get("windows-2025"), tmp_path, now=datetime.now(UTC)
    )
    # This ISO is not the pinned release of virtio-win.
    monkeypatch.setattr(windows_media, "check_drivers", lambda given, folder: folder / "virtio.iso")
    windows_media.check_tools(windows_packer.base(its_plan))
    started: list[int] = []
    spawn = process.spawn

    def noted(*args: Any, **kwargs: Any) -> int:
        started.append(spawn(*args, **kwargs))
        return started[-1]

    monkeypatch.setattr(process, "spawn", noted)
    work, log, lines = tmp_path / "work", tmp_path / "log", list[str]()
    template = packer_files(its_plan)
    write_folder(work / "packer", template)
    (tmp_path / "wheels").mkdir()
    accel = accelerator.choose("auto")
    with windows.prepared(its_plan, template, work, tmp_path, accel, 2, tmp_path / "wheels", log) as var_file:
        assert var_file.stat().st_mode & 0o777 == 0o600
        secret = json.loads(var_file.read_text())["winrm_password"]
        answer = work / "answer"
        assert secret in (answer / "Autounattend.xml").read_text()
        assert (answer / "drivers/viostor/viostor.inf").read_text() == "viostor"
        packer.validate(work / "packer", variables={}, var_file=var_file)
        with pytest.raises(CommandFailed):
            packer.build(
                work / "packer", variables={"winrm_timeout": "20s"}, var_file=var_file, log=log,
                line=lines.append,
            )  # fmt: skip
    assert "Timeout waiting for WinRM." in lines, log.read_text()
    # The firmware is UEFI, and tried to boot.
    assert b"BdsDxe: " in (work / "console.log").read_bytes()
    assert secret not in log.read_text() and not (work / "output").exists()
    (pid,) = started
    _, status = os.waitpid(pid, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL, "the TPM ended with the machine"
