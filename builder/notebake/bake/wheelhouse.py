"""The wheelhouse: the wheels of a lock, fetched once on this computer and checked by SHA-256.

Packer serves the folder to the machine it bakes, which then needs neither mirror nor extra CA.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from notebake import process
from notebake.errors import CommandFailed
from notebake.plan.lock import Lock
from notebake.plan.targets import Target


def platform_tags(platform: str) -> list[str]:
    """pip's platform tags for uv's `x86_64-manylinux_2_28`: that glibc and all older ones (PEP 600)."""
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
    """The folder with every wheel of `lock` and uv's own; made beside and renamed, so it is whole.

    `index` is the URL of a Python index. Raises CommandFailed.
    """
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    version = target.python.version
    abi = "cp" + version.replace(".", "")
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
        wanted = Path(scratch, "requirements.txt")
        uv_version = lock.uv_file.split("-")[1]
        wanted.write_text(lock.requirements() + f"uv=={uv_version} --hash=sha256:{lock.uv_sha256}\n")
        house = Path(scratch, "wheels")
        house.mkdir()
        argv: list[str | Path] = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--disable-pip-version-check",
            "--no-deps",
        ]
        argv += ["--progress-bar", "off", "--require-hashes", "--only-binary", ":all:", "--index-url", index]
        argv += [
            "--implementation",
            "cp",
            "--python-version",
            version,
            "--abi",
            abi,
            "--abi",
            "abi3",
            "--abi",
            "none",
        ]
        for tag in platform_tags(target.python.platform):
            argv += ["--platform", tag]
        try:
            process.run(
                [*argv, "-d", house, "-r", wanted],
                timeout=1800,
                log=log,
                env={"PIP_CONFIG_FILE": "/dev/null"},
            )
        except CommandFailed as error:
            raise CommandFailed(
                f"the Python packages cannot be fetched\n{error.message}",
                f"is the Python index reachable ([mirrors] python)? The whole log is in {log}",
            ) from None
        house.rename(folder)
    return folder
