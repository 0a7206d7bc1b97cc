"""A Linux machine keeps the cloud's metadata service from the notebook's user, unless the spec opens it."""

from __future__ import annotations

from notebake import paths
from notebake.plan.plan import Plan

_UNIT = "notebake-metadata.service"


def programs(plan: Plan) -> dict[str, str]:
    """Return the program that the unit needs: program -> package."""
    return {} if plan.spec.notebook.metadata else {"nft": "nftables"}


def units(plan: Plan) -> dict[str, str]:
    """Return the unit: path -> text."""
    if plan.spec.notebook.metadata:
        return {}
    return {f"units/{_UNIT}": (paths.data_folder("cloud-init") / "metadata" / _UNIT).read_text("utf-8")}
