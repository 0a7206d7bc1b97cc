"""The inputs of an image: its content id, and which inputs changed since an older one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Literal

from notebake import process
from notebake.bases import base
from notebake.bases.releases import Release
from notebake.errors import MissingTool
from notebake.plan.plan import Plan
from notebake.plan.targets import Mmdebstrap
from notebake.provision import upgrade
from notebake.provision.files import Payload
from notebake.render import nocloud, output

# Programs that write bytes of the disk, and the option that prints each version. Packer and QEMU are not
# among them: they run commands and the machine, so another release of theirs gives the same image.
_WRITERS = {"qemu-img": "--version"}
_BASE_WRITERS = {"mmdebstrap": "--version", "mke2fs": "-V"}


@dataclass(frozen=True, kw_only=True)
class Change:
    """An input that differs between two content ids."""

    name: str
    how: Literal["added", "removed", "changed"]


@cache
def _tool(name: str, flag: str) -> str:
    try:
        text = process.run([name, flag], timeout=60).stdout.decode("utf-8", "replace")
    except MissingTool:
        return "none"
    version_number = re.search(r"\d+(\.\d+)+", text)
    return version_number[0] if version_number else text.strip()


def tool_versions(plan: Plan) -> dict[str, str]:
    """Return the versions of the tools that change the image, by name; `none` for one that is missing."""
    writers = dict(_WRITERS)
    if isinstance(plan.target.base, Mmdebstrap):
        writers |= _BASE_WRITERS
    return {"notebake": version("notebake")} | {name: _tool(name, flag) for name, flag in writers.items()}


def inputs(plan: Plan, payload: Payload, sources: Sequence[Release] = ()) -> dict[str, str]:
    """Return everything that changes the image: name -> SHA-256 (hex), and `tool/NAME` -> version; sorted.

    `sources`: the state of the package sources that the bake upgrades from. It holds no
    secret: config.json, which could hold one, is there as a digest.
    """
    # guest.tar.gz is left out: its bytes follow from the payload and the host's zlib. So are the plugins,
    # which are Packer's.
    parts = {
        f"packer/{item.path}": item.data
        for item in output.packer_files(plan, payload)
        if item.path != "guest.tar.gz" and not item.path.startswith("plugins/")
    }
    parts |= {f"guest/{item.path}": item.data for item in payload.files}
    parts |= {f"seed/{name}": data for name, data in nocloud.build_seed("key").items()}
    found = {name: hashlib.sha256(data).hexdigest() for name, data in parts.items()}
    if plan.spec.image.upgrade and not plan.target.is_windows:
        found["guest/upgrade.sh"] = hashlib.sha256(upgrade.script().data).hexdigest()
    found |= {f"source/{source.name}": source.digest for source in sources}
    found["base"] = base.base_id(plan)
    if plan.target.is_windows:
        found["iso"] = f"{plan.spec.windows.iso_sha256}"
        if plan.spec.windows.product_key:
            found["product_key"] = hashlib.sha256(plan.spec.windows.product_key.encode()).hexdigest()
    found |= {f"tool/{name}": number for name, number in tool_versions(plan).items()}
    return dict(sorted(found.items()))


def identify(inputs: Mapping[str, str]) -> str:
    """Return the content id: SHA-256 (hex) over the inputs."""
    total = hashlib.sha256()
    for name, value in sorted(inputs.items()):
        total.update(f"{name}\0{value}\n".encode())
    return total.hexdigest()


def changes(old: Mapping[str, str], new: Mapping[str, str]) -> list[Change]:
    """Return what differs between two sets of inputs, by name."""
    rows = []
    for name in sorted(old.keys() | new.keys()):
        if name not in old:
            rows.append(Change(name=name, how="added"))
        elif name not in new:
            rows.append(Change(name=name, how="removed"))
        elif old[name] != new[name]:
            rows.append(Change(name=name, how="changed"))
    return rows


def reasons(old: Mapping[str, str], new: Mapping[str, str], sources: Sequence[Release]) -> list[str]:
    """Return why a new bake is due, one phrase each: the package sources that changed, and the rest."""
    dates = {f"source/{source.name}": source.date[:10] for source in sources}
    names = [change.name for change in changes(old, new)]
    found = [f"{name.removeprefix('source/')} changed on {dates[name]}" for name in names if name in dates]
    others = [name for name in names if name not in dates]
    if len(others) == 1:
        found.append(f"{others[0]} changed")
    elif others:
        found.append(f"{others[0]} and {len(others) - 1} other inputs changed")
    return found
