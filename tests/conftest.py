"""Fixtures for all layers: a spec without real hosts, plans made from it, the command line."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import settings
from tests import packers
from tests.certificates import NOW

from notebake import paths
from notebake.cli import main
from notebake.plan import plan, spec, targets
from notebake.plan.plan import Plan

# The programs in cloud-init/ run on machines and are not part of the package. Tests import them too.
sys.path[:0] = [str(paths.data_folder("cloud-init") / name) for name in ("linux", "shared")]

# No test is timed: a busy host is not a failure.
settings.register_profile("notebake", deadline=None)
settings.load_profile("notebake")

# The password is "correct horse", hashed with a salt of zeros.
HASH = (
    "argon2:$argon2id$v=19$m=10240,t=10,p=8$AAAAAAAAAAAAAAAAAAAAAA$"
    "K8VR4OlCd/fPOPKJfAyJottpD/KV8Eav8kfOgXtWC2U"
)
GOLDEN_SPEC = f"""
[mirrors]
apt = "http://mirror.example/debian"
zypper = "http://mirror.example/opensuse"
python = "https://index.example/simple"

[notebook]
password = "{HASH}"
"""


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="session")
def built_packer() -> Path:
    """The folder of a Packer newer than Debian's, and of its external plugins."""
    return packers.build()


@pytest.fixture
def newer_packer(built_packer: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put that Packer first on PATH; return the folder of plugins."""
    monkeypatch.setenv("PATH", f"{built_packer}:{os.environ['PATH']}")
    return built_packer / "plugins"


@pytest.fixture
def make_plan(tmp_path: Path) -> Callable[..., Plan]:
    """Return a function that makes a plan from a spec (TOML) and a target; paths are relative to tmp_path."""

    def make(text: str = GOLDEN_SPEC, target: str = "debian-13", now: datetime = NOW) -> Plan:
        return plan.make(spec.parse(text, source="notebake.toml"), targets.get(target), tmp_path, now=now)

    return make


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs `notebake ARGS` in an empty folder; returns (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def invoke(*args: str, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as caught:
            main.main(list(args))
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return int(caught.value.code or 0), out, err

    return invoke


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", action="store_true", help="write the golden files again")
