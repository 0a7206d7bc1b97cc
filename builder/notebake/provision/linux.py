"""The provisioning programs for Linux, and cloud-config for the spec's package mirrors."""

from __future__ import annotations

from typing import Any

from notebake import paths
from notebake.plan.plan import Plan


def cloud_settings(plan: Plan) -> dict[str, Any]:
    """Return the cloud-config keys for the spec's package mirrors, for user-data and for clones of an image."""
    settings: dict[str, Any] = {}
    if plan.target.family == "apt" and plan.sources.apt:
        primary = [{"arches": ["default"], "uri": plan.sources.apt}]
        settings["apt"] = {"primary": primary}
    if plan.target.family == "zypper" and plan.sources.zypper:
        settings["zypper"] = {
            "repos": [{"id": "notebake", "name": "notebake", "baseurl": plan.sources.zypper}]
        }
    return settings


def programs() -> dict[str, str]:
    """Return the programs and units: path -> text, as in the source."""
    root = paths.data_folder("cloud-init")
    return {
        path.relative_to(folder).as_posix(): path.read_text("utf-8")
        for folder in (root / "linux", root / "shared")
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
