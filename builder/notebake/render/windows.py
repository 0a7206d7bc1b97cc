"""User-data for Windows, in the form that each place really reads.

- cloudbase-init (QEMU, OpenStack) runs user-data that starts with `#ps1_sysnative`.
- EC2Launch v2 runs what stands between `<powershell>` tags; it unpacks nothing.
- Google's guest agent runs the metadata value `windows-startup-script-ps1` at each boot.
- Azure stores custom data and runs nothing of it: its Custom Script Extension does, by one command.

Each is the same script, cloud-init/windows/first-boot.ps1, behind one line with the guest's archive.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

from notebake import paths
from notebake.plan.plan import Plan
from notebake.provision import files
from notebake.provision.windows import FIRST_BOOT, user_data_files

# The extension runs its command through cmd.exe, which takes 8,191 characters.
# https://learn.microsoft.com/troubleshoot/windows-client/shell-experience/command-line-string-limitation
AZURE_COMMAND_LIMIT = 8191
_AZURE_COMMAND = (
    "powershell.exe -NoProfile -ExecutionPolicy Bypass -Command "
    "\"$ErrorActionPreference = 'Stop'; "
    "Copy-Item -Force -LiteralPath C:\\AzureData\\CustomData.bin -Destination C:\\AzureData\\notebake.ps1; "
    'C:\\AzureData\\notebake.ps1"'
)


@dataclass(frozen=True, kw_only=True)
class Form:
    """User-data of one cloud: where `render` writes it, and its bytes."""

    path: str
    data: bytes


def script(plan: Plan) -> str:
    """The first boot's script with the guest in it; ASCII, which PowerShell 5.1 reads alike everywhere."""
    text = (paths.data_folder("cloud-init") / "windows" / FIRST_BOOT).read_text("ascii")
    archive = base64.b64encode(files.archive(user_data_files(files.files(plan)))).decode()
    return f"$Archive = '{archive}'\n" + files.without_comments(text, python=False)


def forms(plan: Plan) -> dict[str, Form]:
    """By cloud, what its machines get."""
    text = script(plan)
    cloudbase = f"#ps1_sysnative\n{text}".encode()
    return {
        "aws": Form(path="aws/user-data", data=f"<powershell>\n{text}</powershell>\n".encode()),
        "azure": Form(path="azure/custom-data.ps1", data=text.encode()),
        "openstack": Form(path="user-data", data=cloudbase),
        "gcp": Form(path="gcp/windows-startup-script-ps1", data=text.encode()),
    }


def azure_extension() -> bytes:
    """Settings (JSON) of Azure's Custom Script Extension: it runs the custom data."""
    assert len(_AZURE_COMMAND) <= AZURE_COMMAND_LIMIT
    return (json.dumps({"commandToExecute": _AZURE_COMMAND}, indent=1) + "\n").encode()
