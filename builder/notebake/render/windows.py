"""User-data for Windows, in the form that each cloud reads.

- cloudbase-init (QEMU, OpenStack) runs user-data that starts with `#ps1_sysnative`.
- EC2Launch v2 runs the text between `<powershell>` tags; it does not decompress.
- Google's guest agent runs the metadata value `windows-startup-script-ps1` at each boot.
- Azure stores custom data without running it: its Custom Script Extension runs it by one command.

Each is the same script, cloud-init/windows/first-boot.ps1, after one line with the payload's archive.
"""

from __future__ import annotations

import base64
import gzip
import json

from notebake import paths
from notebake.files import RenderedFile
from notebake.provision.files import Payload, without_comments
from notebake.provision.windows import FIRST_BOOT, user_data_files
from notebake.render.user_data import UserData

# The extension runs its command through cmd.exe, which takes 8,191 characters.
# https://learn.microsoft.com/troubleshoot/windows-client/shell-experience/command-line-string-limitation
AZURE_COMMAND_LIMIT = 8191
# Where `notebake render` writes the form of each cloud.
PATHS = {
    "aws": "aws/user-data",
    "azure": "azure/custom-data.ps1",
    "openstack": "user-data",
    "gcp": "gcp/windows-startup-script-ps1",
}
# How a person reads the token and the certificate's fingerprint of a machine, by cloud.
CONSOLES = {
    "aws": "aws ec2 get-console-output --latest --output text --instance-id INSTANCE",
    "azure": "az vm run-command invoke --command-id RunPowerShellScript --resource-group GROUP --name NAME "
    "--scripts 'Get-Content C:\\ProgramData\\notebake\\data\\ready, C:\\ProgramData\\notebake\\data\\token'",
    "gcp": "gcloud compute instances get-serial-port-output NAME",
    "openstack": "openstack console log show NAME",
}
_AZURE_COMMAND = (
    "powershell.exe -NoProfile -ExecutionPolicy Bypass -Command "
    "\"$ErrorActionPreference = 'Stop'; "
    "Copy-Item -Force -LiteralPath C:\\AzureData\\CustomData.bin -Destination C:\\AzureData\\notebake.ps1; "
    'C:\\AzureData\\notebake.ps1"'
)


def script(archive: bytes) -> str:
    """Return the first boot's script with the archive; ASCII, which PowerShell 5.1 reads alike everywhere."""
    text = (paths.data_folder("cloud-init") / "windows" / FIRST_BOOT).read_text("ascii")
    # Here, not above: most commands render nothing. It makes the stream shorter, for EC2's limit.
    from zopfli import gzip as zopfli

    packed = base64.b64encode(zopfli.compress(gzip.decompress(archive))).decode()
    return f"$Archive = '{packed}'\n" + without_comments(text, python=False)


def user_data(payload: Payload) -> UserData:
    """Return the user-data in each cloud's form, and the settings of Azure's extension that runs it."""
    # With the digest of the whole payload: a golden image that has it keeps its files.
    carried = user_data_files(payload.files)
    text = script(payload.archive(carried))
    clouds = {
        "aws": f"<powershell>\n{text}</powershell>\n".encode(),
        "azure": text.encode(),
        "openstack": f"#ps1_sysnative\n{text}".encode(),
        "gcp": text.encode(),
    }
    written = {name: RenderedFile(path=path, data=clouds[name]) for name, path in PATHS.items()}
    extension = RenderedFile(path="azure/extension.json", data=azure_extension())
    return UserData(
        clouds=clouds,
        files=(*written.values(), extension),
        seed=clouds["openstack"],
        parts=carried,
    )


def azure_extension() -> bytes:
    """Return the settings (JSON) of Azure's Custom Script Extension, which runs the custom data."""
    assert len(_AZURE_COMMAND) <= AZURE_COMMAND_LIMIT
    return (json.dumps({"commandToExecute": _AZURE_COMMAND}, indent=1) + "\n").encode()
