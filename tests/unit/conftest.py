"""Unit tests start no program: one that tries fails."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from notebake import cli, content, signing
from notebake.catalog import Catalog
from notebake.signing import Signer

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def no_subprocess(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError(f"a unit test started a program: {args}")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    # A content id asks programs for their versions.
    monkeypatch.setattr(content, "_tool", lambda name, flag: "1.0")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `notebake ARGS` in an empty folder; returns (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def invoke(*args: str, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as caught:
            cli.main(list(args))
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return int(caught.value.code or 0), out, err

    return invoke


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    """Signs with a key of its own."""
    signing.make_key(tmp_path / "key")
    return signing.private_key(tmp_path / "key")


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """An empty catalog in a folder."""
    return Catalog(str(tmp_path / "catalog"))
