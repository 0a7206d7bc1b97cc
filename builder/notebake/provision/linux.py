"""The provisioning programs for Linux, and what cloud-init must leave to them."""

from __future__ import annotations

import re
from typing import Any

from notebake import paths
from notebake.plan.plan import Plan
from notebake.provision import endpoint, metadata, own, updates


def cloud_settings(plan: Plan) -> dict[str, Any]:
    """Return the cloud-config keys for user-data and clones: provisioning writes the package sources."""
    return {"apt": {"preserve_sources_list": True}} if plan.sources.apt_lines else {}


def cloud(plan: Plan) -> dict[str, Any]:
    """Return cloud-init's settings for clones of a golden image: as user-data has them."""
    user: dict[str, Any] = {"default_user": {"name": plan.admin}}
    if plan.target.network_renderers:
        user["network"] = {"renderers": list(plan.target.network_renderers)}
    return {"ssh_genkeytypes": ["ed25519"], "system_info": user, **cloud_settings(plan)}


def kernel_prefix(memory: int | None) -> list[str]:
    """Return the words before a kernel's command; `memory`: its limit in MiB."""
    # When memory is full, the system kills kernels before the server.
    words = ["choom", "-n", "500", "--"]
    if memory:
        # What it may write to: its address space also has files and memory that it never uses.
        words += ["prlimit", f"--data={memory << 20}"]
    return words


def folders(plan: Plan) -> list[str]:
    """Return the folders of cloud-init/ that this machine needs."""
    found = ["linux", "shared", plan.target.family, plan.target.firewall]
    if plan.sources.ca_certificates:
        found.append("ca")
    if plan.own_certificate is not None:
        found.append("own-certificate")
    if plan.spec.notebook.preload:
        found.append("preload")
    return found


def programs(plan: Plan) -> dict[str, str]:
    """Return the programs and units: path -> text, as in the source."""
    root = paths.data_folder("cloud-init")
    found = {
        path.relative_to(root / name).as_posix(): path.read_text("utf-8")
        for name in folders(plan)
        for path in (root / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    if plan.spec.notebook.sudo:
        unit = "units/notebake-notebook.service"
        # Everything from the mark to the next section.
        found[unit] = re.sub(r"# Sandbox\n.*?(?=\n\[)", "", found[unit], flags=re.DOTALL)
    return found | updates.units(plan) | endpoint.units(plan) | metadata.units(plan) | own.programs(plan)


def upgrade() -> str:
    """Return the script that upgrades all packages, as in the source."""
    return (paths.data_folder("cloud-init") / "upgrade/upgrade.sh").read_text("utf-8")
