"""actionlint, with shellcheck for each `run:`, accepts the workflows for GitHub, and this project's own."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.integration.workflow_runner import written
from tests.workflows.conftest import CHECKOUT

from notebake import paths, process
from notebake.errors import MissingTool

MODULE = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12"


@pytest.fixture(scope="session")
def actionlint() -> Path:
    """The program, built from its pinned module and kept in the cache."""
    folder = paths.cache_folder() / "workflow-tools" / MODULE.replace("/", "-")
    if not (folder / "actionlint").exists():
        if not process.has("go"):
            raise MissingTool("go: not installed", "install Go 1.24 or newer")
        process.run(["go", "install", MODULE], timeout=600, env={"GOBIN": str(folder)})
    return folder / "actionlint"


def lint(path: Path, actionlint: Path) -> str:
    """Return actionlint's findings."""
    # shellcheck is in this environment.
    env = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    argv: list[str | Path] = [actionlint, "-no-color", "-oneline", path]
    return process.run(argv, timeout=120, check=False, env=env).stdout.decode()


@pytest.mark.parametrize(
    "options",
    [{}, {"keyless": True}, {"auth": "aws", "catalog": "s3://b"}, {"auth": "gcp", "catalog": "gs://b"},
     {"auth": "azure", "catalog": "az://b"}],
)  # fmt: skip
def test_a_written_workflow_has_no_finding(options: dict[str, Any], actionlint: Path, tmp_path: Path) -> None:
    path = written("github", tmp_path, **options)
    assert lint(path, actionlint) == ""
    whole = path.read_text()
    for old, new, says in (
        ("needs.access.outputs", "needs.acess.outputs", "acess"),
        ("notebake delete --yes proof ||", "rm $unquoted ||", "SC2086"),
    ):
        path.write_text(whole.replace(old, new))
        assert says in lint(path, actionlint)


@pytest.mark.parametrize("name", ["ci", "release"])
def test_this_projects_own_workflows_have_no_finding(name: str, actionlint: Path) -> None:
    assert lint(CHECKOUT / f".github/workflows/{name}.yml", actionlint) == ""
