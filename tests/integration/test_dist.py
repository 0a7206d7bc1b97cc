"""`make dist`: the same commit gives the same wheel and sdist, and the wheel renders every target."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def make(target: str, checkout: Path, output: Path, *, umask: int, **env: str) -> dict[str, bytes]:
    # The environment of these tests is the one to build with: `make` does not renew it (-o).
    argv = ["make", "-s", "-o", BIN / "notebake", target, f"BIN={BIN}", f"DIST={output}"]
    result = subprocess.run(
        argv, cwd=checkout, env=os.environ | env, umask=umask, timeout=600, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return {path.name: path.read_bytes() for path in output.glob("notebake-*")}


def git(*words: str) -> str:
    return subprocess.run(
        ["git", *words], cwd=CHECKOUT, check=True, capture_output=True, text=True, timeout=60
    ).stdout


def test_a_copy_made_by_somebody_else_elsewhere_builds_the_same_bytes(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for name in git("ls-files", "-z", "--cached", "--others", "--exclude-standard").strip("\0").split("\0"):
        if (CHECKOUT / name).exists():
            (copy / name).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            shutil.copyfile(CHECKOUT / name, copy / name, follow_symlinks=False)
            if not (copy / name).is_symlink():
                (copy / name).chmod(0o700 if os.access(CHECKOUT / name, os.X_OK) else 0o600)
    here = make("dist", CHECKOUT, tmp_path / "one", umask=0o022)
    there = make(
        "build-dist",
        copy,
        tmp_path / "two",
        umask=0o077,
        TZ="Asia/Tokyo",
        LC_ALL="C",
        SOURCE_DATE_EPOCH=git("log", "-1", "--format=%ct").strip(),
    )
    assert [Path(name).suffix for name in sorted(here)] == [".whl", ".gz"]
    assert here.keys() == there.keys()
    for name in here:
        assert here[name] == there[name], name
    with tarfile.open(next((tmp_path / "one").glob("*.tar.gz"))) as sdist:
        names = {name.split("/", 1)[1] for name in sdist.getnames()}
    assert {"LICENSE", "images/debian-13/target.toml", "cloud-init/linux/setup.py"} <= names
    assert not [name for name in names if name.startswith((".venv", ".git/", "baked", "build/"))]
