"""What a Linux machine preloads, as provisioning files and values."""

from __future__ import annotations

from typing import Any

from notebake.plan import preload
from notebake.plan.plan import Plan
from notebake.provision.own import as_text


def files(plan: Plan) -> dict[str, bytes]:
    """Return the provisioning files: path -> content, as text."""
    return {f"notebooks/{name}": as_text(data)[0] for name, data in plan.notebooks}


def config(plan: Plan) -> dict[str, Any]:
    """Return the values of config.json, if there are any: what is in base64, and what to fetch."""
    items = [preload.fetched(entry) for entry in plan.spec.notebook.preload if preload.is_url(entry)]
    if not plan.notebooks and not items:
        return {}
    return {
        "preload": {
            "encoded": [name for name, data in plan.notebooks if as_text(data)[1]],
            "fetched": [
                {"folder": item.folder, "url": item.url, "pin": item.pin, "git": item.is_git}
                for item in items
            ],
        }
    }
