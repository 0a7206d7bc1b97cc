"""Run the workflows' commands: all of GitHub's, and the comments of GitLab's and Azure Pipelines'."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.integration.sigstore_services import IDENTITY, ISSUER, running
from tests.integration.workflow_runner import Runner, expression, prepare, written
from tests.loopback import Quiet, serving

from notebake import process
from notebake.catalog import signing, verify
from notebake.catalog.catalog import Catalog
from notebake.catalog.keyless import Identity
from notebake.ci import workflow


@pytest.fixture
def runner(request: pytest.FixtureRequest, tmp_path: Path) -> Runner:
    """Runs GitHub's workflow; with the parameter `keyless` the one without a key."""
    return prepare(tmp_path, keyless=getattr(request, "param", None) == "keyless")


def on_main(folder: Path) -> dict[str, Any]:
    """Return the contexts of a push to the main branch."""
    workflow_ref = f"me/images/{workflow.PATHS['github']}@refs/heads/main"
    return {
        "github": {
            "event_name": "push", "ref": "refs/heads/main", "run_id": "1", "server_url": "https://github.com",
            "workflow_ref": workflow_ref,
        },
        "matrix": {"target": "debian-13"}, "vars": {"NOTEBAKE_CATALOG": str(folder / "catalog")},
        "secrets": {},
    }  # fmt: skip


def test_githubs_workflow_checks_bakes_and_promotes(runner: Runner, tmp_path: Path) -> None:
    head = process.run(["git", "-C", tmp_path / "repository", "rev-parse", "HEAD"], timeout=60).stdout
    (tmp_path / "repository/notebake.toml").write_text('[notebook]\nprofile = "new"\n')
    request = {"base": {"sha": head.decode().strip()}, "number": 7, "head": {"repo": {"fork": False}}}
    github = {"event_name": "pull_request", "event": {"pull_request": request}, "token": "t"}
    outputs = runner.job("check", {"github": github})
    assert "debian-13" in json.loads(outputs["targets"]) and "windows-2025" not in outputs["targets"]
    (lint,) = (
        step["run"]
        for step in runner.made["jobs"]["check"]["steps"]
        if step.get("name") == "Lint the rendered files"
    )
    assert runner.bash(lint, {}).returncode == 0
    rendered = tmp_path / "repository/rendered/new/debian-13"
    for path, fault in (
        ("packer/scripts/seal.sh", "rm -r $unquoted"),
        ("user-data.yaml", "hostname: [1]"),
    ):
        whole = (rendered / path).read_text()
        (rendered / path).write_text(f"{whole}{fault}\n")
        assert runner.bash(lint, {}).returncode != 0, path
        (rendered / path).write_text(whole)
    comment = (tmp_path / "comment").read_text()
    assert '-  "profile": "old"' in re.sub(r"\\\"|\\n", '"', comment) or "old" in comment

    signing.make_key(tmp_path / "key")
    contexts = on_main(tmp_path) | {"secrets": {"NOTEBAKE_SIGNING_KEY": (tmp_path / "key").read_text()}}
    assert expression(runner.made["jobs"]["bake"]["if"], contexts)
    runner.ran.clear()
    for _ in range(2):  # the second time nothing has changed, so nothing is added
        runner.job("bake", contexts)
        catalog = Catalog(str(tmp_path / "catalog"))
        assert catalog.pointers("debian-13") == {"candidate": "1.0.0", "stable": "1.0.0"}
    expected = ["Bake", "Launch", "Probe", "Delete the machine", "Write the report"]
    assert [name for name in runner.ran if name in expected][:5] == expected
    assert verify.problems(catalog, signing.public_key(tmp_path / "key.pub")) == []
    assert "<h1>debian-13 1.0.0" in (tmp_path / "repository/report-debian-13.html").read_text()
    assert list((tmp_path / "temp").iterdir()) == [], "the signing key was not removed"
    assert "stable" in (tmp_path / "summary").read_text()


@pytest.mark.parametrize("runner", ["keyless"], indirect=True)
def test_githubs_keyless_workflow_signs_with_its_identity(runner: Runner, tmp_path: Path) -> None:
    trust = tmp_path / "trust.json"
    with running() as services:
        trust.write_text(services.trust_config())
        runner.service = services.environment() | {"NOTEBAKE_TRUST_CONFIG": str(trust)}
        runner.job("bake", on_main(tmp_path))
    catalog = Catalog(str(tmp_path / "catalog"))
    assert catalog.pointers("debian-13") == {"candidate": "1.0.0", "stable": "1.0.0"}
    assert verify.problems(catalog, Identity(identity=IDENTITY, issuer=ISSUER, trust=trust)) == []
    stranger = Identity(identity=IDENTITY.replace("main", "fork"), issuer=ISSUER, trust=trust)
    assert len(verify.problems(catalog, stranger)) == 2


@dataclass(frozen=True)
class Comments:
    """A stand-in for a service's API at `url`, and the comments that it received: (path, headers, body)."""

    url: str
    received: list[tuple[str, dict[str, str], Any]]


@pytest.fixture
def comments() -> Iterator[Comments]:
    received: list[tuple[str, dict[str, str], Any]] = []

    class Handler(Quiet):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            received.append((self.path, dict(self.headers), body))
            self.send_response(201)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with serving(Handler) as url:
        yield Comments(url, received)


@pytest.fixture
def changed(runner: Runner) -> str:
    """Change the spec in the runner's repository; return the commit before. It runs this notebake."""
    (runner.folder / "home/notebake/bin").mkdir(parents=True)
    python = runner.folder / "home/notebake/bin/python"
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    repository = runner.folder / "repository"
    before = process.run(["git", "-C", repository, "rev-parse", "HEAD"], timeout=60).stdout.decode().strip()
    (repository / "notebake.toml").write_text('[notebook]\nprofile = "new"\n')
    return before


def test_gitlab_comments_with_the_difference(
    runner: Runner, changed: str, comments: Comments, tmp_path: Path
) -> None:
    pipeline = yaml.safe_load(written("gitlab", tmp_path).read_text())
    script = "\n".join(pipeline["difference"]["script"])
    env = {
        "CI_MERGE_REQUEST_DIFF_BASE_SHA": changed, "CI_API_V4_URL": f"{comments.url}/api/v4",
        "CI_PROJECT_ID": "7", "CI_MERGE_REQUEST_IID": "3",
    }  # fmt: skip
    done = runner.bash(script, env | {"GITLAB_TOKEN": "secret"})
    assert done.returncode == 0, done.stderr
    ((path, headers, body),) = comments.received
    assert path == "/api/v4/projects/7/merge_requests/3/notes" and headers["PRIVATE-TOKEN"] == "secret"
    assert body["body"].startswith("### Changes in the rendered files\n```diff\n") and "new" in body["body"]
    process.run(["git", "-C", tmp_path / "repository", "worktree", "remove", "../base"], timeout=60)
    assert runner.bash(script, env).returncode == 0
    assert len(comments.received) == 1


def test_azure_pipelines_comments_with_the_difference(
    runner: Runner, changed: str, comments: Comments, tmp_path: Path
) -> None:
    pipeline = yaml.safe_load(written("azure-pipelines", tmp_path).read_text())
    named = {step.get("displayName"): step for step in pipeline["jobs"][0]["steps"]}
    git = ["git", "-C", tmp_path / "repository", "update-ref", "refs/remotes/origin/main", changed]
    process.run(git, timeout=60)
    values = {
        "System.PullRequest.TargetBranch": "refs/heads/main", "System.CollectionUri": f"{comments.url}/us/",
        "System.TeamProject": "images", "Build.Repository.ID": "9", "System.PullRequest.PullRequestId": "3",
        "System.AccessToken": "secret",
    }  # fmt: skip
    step = named["Comment with the diff"]
    env = {
        name: re.sub(r"\$\(([\w.]+)\)", lambda match: values[match[1]], value)
        for name, value in step["env"].items()
    }
    for script in (
        named["Render every target"]["script"],
        named["Lint the rendered files"]["script"],
        step["script"],
    ):
        done = runner.bash(script, env)
        assert done.returncode == 0, done.stderr
    ((path, headers, body),) = comments.received
    assert path == "/us/images/_apis/git/repositories/9/pullRequests/3/threads?api-version=7.1"
    assert headers["Authorization"] == "Bearer secret"
    assert "```diff" in body["comments"][0]["content"] and "new" in body["comments"][0]["content"]
