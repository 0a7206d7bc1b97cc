"""A Linux machine redirects the endpoint's public port to the notebook's: in a cloud nothing else does."""

from __future__ import annotations

from notebake import paths
from notebake.plan.plan import Plan

_UNIT = "notebake-endpoint.service"


def _redirects(plan: Plan) -> bool:
    return plan.spec.endpoint.public_port != plan.spec.notebook.port


def programs(plan: Plan) -> dict[str, str]:
    """Return the program that the unit needs: program -> package."""
    return {"nft": "nftables"} if _redirects(plan) else {}


def units(plan: Plan) -> dict[str, str]:
    """Return the unit: path -> text."""
    if not _redirects(plan):
        return {}
    text = (paths.data_folder("cloud-init") / "endpoint" / _UNIT).read_text("utf-8")
    text = text.replace("@public_port@", str(plan.spec.endpoint.public_port))
    return {f"units/{_UNIT}": text.replace("@port@", str(plan.spec.notebook.port))}
