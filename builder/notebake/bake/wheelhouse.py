"""The wheelhouse: the wheels of a lock, downloaded once on the host and checked by SHA-256.

Packer serves the folder to the machine it bakes, which then needs no mirror and no extra CA certificate.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from notebake import files, process
from notebake.errors import CommandFailed
from notebake.plan.lock import Lock
from notebake.plan.targets import Target


def platform_tags(platform: str) -> list[str]:
    """Return pip's platform tags for uv's `x86_64-manylinux_2_28`: that glibc and all older (PEP 600)."""
    if platform == "x86_64-pc-windows-msvc":
        return ["win_amd64"]
    match = re.fullmatch(r"(\w+?)-manylinux_2_(\d+)", platform)
    if match is None:
        raise ValueError(f"{platform}: no manylinux platform")
    machine, minor = match[1], int(match[2])
    return [f"manylinux_2_{n}_{machine}" for n in range(minor, 4, -1)] + [
        f"{name}_{machine}" for name in ("manylinux2014", "manylinux2010", "manylinux1", "linux")
    ]


def fetch(lock: Lock, target: Target, index: str, folder: Path, log: Path) -> Path:
    """Return the folder with every wheel of `lock` and uv's own, downloading them first if needed.

    The folder is complete or absent. `index` is the URL of a Python index. Raises CommandFailed.
    """
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    version = target.python.version
    abi = "cp" + version.replace(".", "")
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
        requirements = Path(scratch, "requirements.txt")
        uv_version = lock.uv_file.split("-")[1]
        requirements.write_text(lock.requirements() + f"uv=={uv_version} --hash=sha256:{lock.uv_sha256}\n")
        wheels = Path(scratch, "wheels")
        wheels.mkdir()
        argv: list[str | Path] = [
            *(sys.executable, "-m", "pip", "download"),
            *("--disable-pip-version-check", "--no-deps", "--require-hashes"),
            *("--progress-bar", "off"),
            *("--only-binary", ":all:"),
            *("--index-url", index),
            *("--implementation", "cp"),
            *("--python-version", version),
            *(word for name in (abi, "abi3", "none") for word in ("--abi", name)),
            *(word for tag in platform_tags(target.python.platform) for word in ("--platform", tag)),
            *("-d", wheels),
            *("-r", requirements),
        ]
        try:
            process.run(argv, timeout=1800, log=log, env={"PIP_CONFIG_FILE": "/dev/null"})
        except CommandFailed as error:
            raise CommandFailed(
                f"cannot download the Python packages\n{error.message}",
                f"check that the Python index ([mirrors] python) is reachable; the full log is {log}",
            ) from None
        files.rename_once(wheels, folder)
    return folder
