"""The real Packer accepts the Windows template for each platform, and refuses wrong keys."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.rendering import packer_files

from notebake import process
from notebake.bake import packer
from notebake.errors import CommandFailed
from notebake.files import write_folder
from notebake.plan.plan import Plan
from notebake.render.windows_packer import SOURCES

DUMMY = {
    "iso": "https://iso.example/windows.iso",
    "iso_checksum": f"sha256:{'0' * 64}",
    "winrm_password": "aA1-not-a-secret",
    "azure_subscription_id": "00000000-0000-0000-0000-000000000001",
    "azure_tenant_id": "00000000-0000-0000-0000-000000000002",
    "azure_client_id": "00000000-0000-0000-0000-000000000003",
    "azure_client_secret": "dummy",
    "azure_resource_group": "images",
    "gcp_project": "dummy",
}


@pytest.fixture
def validate(make_plan: Callable[..., Plan], tmp_path: Path) -> Callable[..., None]:
    def run(target: str, *sources: str, old: str = "", new: str = "", file: str = "windows.pkr.hcl") -> None:
        folder = tmp_path / "packer"
        write_folder(folder, packer_files(make_plan(target=target), sources=sources))
        template = folder / file
        assert old in template.read_text()
        template.write_text(template.read_text().replace(old, new, 1))
        values = {**json.loads((folder / "variables.pkrvars.json").read_text()), **DUMMY}
        values["answer_directory"] = str(folder / "answer")
        var_file = tmp_path / "all.pkrvars.json"
        var_file.write_text(json.dumps(values))
        packer.validate(folder, variables={}, var_file=var_file)

    return run


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = process.environment
    dummies = {"AWS_ACCESS_KEY_ID": "dummy", "AWS_SECRET_ACCESS_KEY": "dummy"}
    monkeypatch.setattr(process, "environment", lambda extra=None: plain({**dummies, **(extra or {})}))


@pytest.mark.parametrize("target", ["windows-2025", "windows-2022"])
def test_packer_accepts_the_template_of_all_platforms(validate: Callable[..., None], target: str) -> None:
    validate(target, *SOURCES)


@pytest.mark.parametrize("platform", SOURCES)
def test_packer_accepts_the_template_of_each_platform(validate: Callable[..., None], platform: str) -> None:
    validate("windows-2025", platform)


@pytest.mark.parametrize(
    ("platform", "file", "old", "new"),
    [("qemu", "qemu.pkr.hcl", "machine_type ", "machine_typ "),
     ("qemu", "qemu.pkr.hcl", "var.tpm_socket", "var.tpm"),
     ("qemu", "windows.pkr.hcl", '"windows-restart"', '"windows-reboot"'),
     ("qemu", "windows.pkr.hcl", "scripts/install.ps1", "scripts/instal.ps1"),
     ("hyperv-iso", "hyperv-iso.pkr.hcl", "generation ", "generations "),
     ("azure-arm", "azure-arm.pkr.hcl", "image_sku ", "image_skus "),
     ("amazon-ebs", "amazon-ebs.pkr.hcl", "ami_name ", "ami_nam "),
     ("googlecompute", "googlecompute.pkr.hcl", "zone  ", "zones  ")],
)  # fmt: skip
def test_packer_refuses_a_wrong_key(
    validate: Callable[..., None], platform: str, file: str, old: str, new: str
) -> None:
    with pytest.raises(CommandFailed, match="packer: exit code 1"):
        validate("windows-2025", platform, old=old, new=new, file=file)
