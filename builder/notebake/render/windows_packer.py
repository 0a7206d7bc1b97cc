"""What the Packer template for Windows reads: scripts, answer files, configuration, variables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from xml.etree import ElementTree

from notebake import paths
from notebake.errors import SpecError
from notebake.files import RenderedFile
from notebake.plan.plan import Plan
from notebake.plan.targets import WindowsMedia
from notebake.provision.files import Payload

_NAMESPACE = "urn:schemas-microsoft-com:unattend"
_STATE = "http://schemas.microsoft.com/WMIConfig/2002/State"

# Packer's builders that the template knows, each with a file of its own.
SOURCES = ("qemu", "hyperv-iso", "azure-arm", "amazon-ebs", "googlecompute")


def base(plan: Plan) -> WindowsMedia:
    """Return the base of a Windows target. Raises SpecError for a base of another kind."""
    if not isinstance(plan.target.base, WindowsMedia):
        raise SpecError(f"target {plan.target.name}: its base is no windows-media")
    return plan.target.base


def _shared() -> dict[str, bytes]:
    root = paths.data_folder("images") / "_shared/windows"
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def answer(plan: Plan, password: str, product_key: str | None = None) -> bytes:
    """Return Autounattend.xml for the spec's edition with the build's password; values enter as XML text.

    Without a product key, Setup is told to ask for none: an evaluation ISO has its own.
    """
    ElementTree.register_namespace("", _NAMESPACE)
    ElementTree.register_namespace("wcm", _STATE)
    root = ElementTree.fromstring(_shared()["answer/Autounattend.xml"])
    values = {
        "MetaData": base(plan).image_name(plan.spec.windows.edition),
        "AdministratorPassword": password,
        "Password": password,
    }
    for element, value in values.items():
        (found,) = root.iterfind(f".//{{{_NAMESPACE}}}{element}/{{{_NAMESPACE}}}Value")
        found.text = value
    if product_key:
        (parent,) = root.iterfind(f".//{{{_NAMESPACE}}}ProductKey")
        key = ElementTree.Element(f"{{{_NAMESPACE}}}Key")
        key.text = product_key
        parent.insert(0, key)
    text: bytes = ElementTree.tostring(root, "utf-8")
    return b'<?xml version="1.0" encoding="utf-8"?>\n' + text + b"\n"


def build_password(plan: Plan, password: str) -> list[RenderedFile]:
    """Return the files with the password of a build by hand: the answer file, and Packer's variable."""
    text = json.dumps({"winrm_password": password}) + "\n"
    return [
        RenderedFile(
            path="answer/Autounattend.xml",
            data=answer(plan, password, plan.spec.windows.product_key),
            mode=0o600,
        ),
        RenderedFile(path="password.pkrvars.json", data=text.encode(), mode=0o600),
    ]


def variables(plan: Plan) -> dict[str, str]:
    """Return the values for the template that do not depend on the host."""
    year = plan.target.name.removeprefix("windows-")
    core = plan.spec.windows.edition.endswith("-core")
    return {
        "target": plan.target.name,
        "image_name": f"notebake-{plan.target.name}",
        "azure_sku": f"{year}-datacenter-{'core-' if core else ''}g2",
        "aws_source_ami_name": f"Windows_Server-{year}-English-{'Core' if core else 'Full'}-Base-*",
        "gcp_source_image_family": f"windows-{year}{'-core' if core else ''}",
    }


def packer_files(plan: Plan, payload: Payload, sources: Sequence[str]) -> tuple[RenderedFile, ...]:
    """Return the Packer template with these of SOURCES, its scripts and the payload's archive.

    Packer from 1.10 refuses a template with a source whose plugin it does not have. The answer file has no
    password here: `notebake bake` makes one for each bake.
    """
    found = _shared()
    for name in set(SOURCES) - set(sources):
        del found[f"{name}.pkr.hcl"]
        line = f'    "source.{name}.image",\n'.encode()
        found["windows.pkr.hcl"] = found["windows.pkr.hcl"].replace(line, b"")
    found["answer/Autounattend.xml"] = answer(plan, "")
    found["cloudbase-init.conf"] = found["cloudbase-init.conf"].replace(b"@user@", plan.spec.user.encode())
    found["cloudbase-init-unattend.conf"] = found["cloudbase-init-unattend.conf"].replace(
        b"@user@", plan.spec.user.encode()
    )
    found["guest.tar.gz"] = payload.archive()
    found["variables.pkrvars.json"] = (json.dumps(variables(plan), indent=1) + "\n").encode()
    return tuple(RenderedFile(path=path, data=found[path]) for path in sorted(found))
