"""Own software for a Linux machine: what [image] names, as provisioning files and values."""

from __future__ import annotations

import base64
from pathlib import PurePosixPath
from typing import Any

from notebake import paths
from notebake.plan.plan import Plan


def as_text(data: bytes) -> tuple[bytes, bool]:
    """Return the content as user-data carries it, and whether that is base64: user-data is text."""
    try:
        encoded = "\0" in data.decode("utf-8")
    except UnicodeDecodeError:
        encoded = True
    return (base64.encodebytes(data), True) if encoded else (data, False)


def _script(number: int, name: str) -> str:
    return f"own/{number}-{PurePosixPath(name).name}"


def files(plan: Plan) -> dict[str, bytes]:
    """Return the provisioning files: path -> content. The files have numbers, the scripts also names."""
    found = {f"own/{number}": as_text(item.data)[0] for number, item in enumerate(plan.own_files, 1)}
    return found | {_script(number, item.name): item.data for number, item in enumerate(plan.scripts, 1)}


def programs(plan: Plan) -> dict[str, str]:
    """Return the program that installs them, if there are any: path -> text, as in the source."""
    if not config(plan):
        return {}
    return {"own.py": (paths.data_folder("cloud-init") / "own/own.py").read_text("utf-8")}


def config(plan: Plan) -> dict[str, Any]:
    """Return the values of config.json: path, mode, base64 or not; name, moment, file, program."""
    if not plan.own_files and not plan.scripts:
        return {}
    return {
        "files": [(item.path, item.mode, as_text(item.data)[1]) for item in plan.own_files],
        "run": [
            (item.name, item.when, _script(number, item.name), item.argv)
            for number, item in enumerate(plan.scripts, 1)
        ],
    }
