"""Fixtures of `make workflows`: whole workflows in root file systems of their own, with no stand-in."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from notebake import paths, process
from notebake.errors import MissingTool
from notebake.files import sha256

CHECKOUT = Path(__file__).parents[2]
# The newest one that runs on Node.js 20.
GITLAB_CI_LOCAL = "gitlab-ci-local@4.61.1"


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """The folder of gitlab-ci-local from npm, kept in the cache."""
    folder = paths.cache_folder() / "workflow-tools" / GITLAB_CI_LOCAL
    if not (folder / "node_modules/.package-lock.json").exists():
        if not process.has("npm"):
            raise MissingTool("npm: not installed", "install the packages nodejs and npm")
        argv = ["npm", "install", "--silent", "--ignore-scripts", "--prefix", str(folder), GITLAB_CI_LOCAL]
        # Node.js has CAs of its own; the host's may have more.
        process.run(argv, timeout=300, env={"NODE_EXTRA_CA_CERTS": "/etc/ssl/certs/ca-certificates.crt"})
    return folder / "node_modules"


@pytest.fixture(scope="session")
def requirement(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """This checkout as a wheel, and the requirement for it at /srv of a root."""
    folder = tmp_path_factory.mktemp("dist")
    process.run(["uv", "build", "--wheel", "--quiet", "--out-dir", folder, CHECKOUT], timeout=300)
    (wheel,) = folder.glob("*.whl")
    return wheel, f"file:///srv/{wheel.name}#sha256={sha256(wheel)}"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for a root of some GB, which pytest would keep."""
    with tempfile.TemporaryDirectory(prefix="notebake-root-") as name:
        Path(name).chmod(0o755)
        yield Path(name) / "root"
