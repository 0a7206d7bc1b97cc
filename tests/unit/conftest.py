"""Unit tests must not start programs: a test that tries fails."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Run
from tests.unit.test_cli_machines import a_machine

from notebake import process
from notebake.bake import inputs
from notebake.bases import releases
from notebake.catalog import signing
from notebake.catalog.catalog import Catalog
from notebake.catalog.signing import Signer
from notebake.errors import MissingTool
from notebake.machines import incus_client, platforms
from notebake.machines.machine import Machine


@pytest.fixture(autouse=True)
def no_subprocess(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError(f"a unit test started a program: {args}")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    # The content id has the versions of programs, which are started to print them.
    monkeypatch.setattr(inputs, "tool_versions", lambda plan: {"mke2fs": "1.0", "qemu-img": "1.0"})


@pytest.fixture(autouse=True)
def no_incus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A launch asks whether Incus can be used: here it cannot."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise MissingTool("incus: this program is not installed", "run `notebake doctor`")

    monkeypatch.setattr(incus_client, "run", refuse)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan reads the package sources: here there are none."""
    monkeypatch.setattr(releases, "read", lambda plan, *, offline=False: ())


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    """A signer with a new key."""
    signing.make_key(tmp_path / "key")
    return signing.private_key(tmp_path / "key")


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """An empty catalog in a folder."""
    return Catalog(str(tmp_path / "catalog"))


@pytest.fixture
def lab(run: Run, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine that runs."""
    machine = a_machine("lab", token="ab" * 24)
    machine.ssh.key.parent.mkdir(parents=True, exist_ok=True)
    machine.ssh.key.touch()
    monkeypatch.setattr(platforms, "look", lambda machine: True)
    monkeypatch.setattr(process, "which", lambda name: Path("/usr/bin", name))
    return machine
