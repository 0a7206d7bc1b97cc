"""Run the workflows' commands: all of GitHub's, and the comments of GitLab's and Azure Pipelines'."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests import catalogs
from tests.integration.sigstore_services import IDENTITY, ISSUER, running
from tests.integration.workflow_runner import Runner, expression, prepare, written
from tests.loopback import Quiet, serving

from notebake import process
from notebake.catalog import promote, signing
from notebake.catalog.catalog import Catalog
from notebake.catalog.keyless import Identity
from notebake.ci import workflow

MARKER = "<!-- notebake: rendered files -->"


@pytest.fixture
def runner(request: pytest.FixtureRequest, tmp_path: Path) -> Runner:
    """Runs GitHub's workflow; the parameter has options of it."""
    return prepare(tmp_path, **getattr(request, "param", {}))


def on_main() -> dict[str, Any]:
    """Return the contexts of a push to the main branch."""
    workflow_ref = f"me/images/{workflow.PATHS['github']}@refs/heads/main"
    return {
        "github": {
            "event_name": "push", "ref": "refs/heads/main", "run_id": "1", "server_url": "https://github.com",
            "workflow_ref": workflow_ref,
        },
        "matrix": {"target": "debian-13"}, "secrets": {},
    }  # fmt: skip


def due(runner: Runner, contexts: dict[str, Any]) -> bool:
    """Run GitHub's job that looks for what is new; return whether debian-13 is to be baked."""
    needs = {"access": {"outputs": runner.job("access", contexts)}}
    targets = json.loads(needs["access"]["outputs"]["targets"])
    job = runner.made["jobs"]["bake"]
    assert expression(job["if"], contexts | {"needs": needs}) == bool(targets)
    assert job["strategy"]["matrix"]["target"] == "${{ fromJSON(needs.access.outputs.targets) }}"
    return bool(targets == ["debian-13"])


def on_pull_request(base: str) -> dict[str, Any]:
    """Return the contexts of a pull request against the commit `base`."""
    request = {"base": {"sha": base}, "number": 7, "head": {"repo": {"fork": False}}}
    return {"github": {"event_name": "pull_request", "event": {"pull_request": request}, "token": "t"}}


def test_githubs_workflow_checks_and_comments_once(runner: Runner, tmp_path: Path) -> None:
    head = process.run(["git", "-C", tmp_path / "repository", "rev-parse", "HEAD"], timeout=60).stdout
    contexts = on_pull_request(head.decode().strip())
    others = [
        {"id": 1, "body": f"{MARKER}\nnot ours", "user": {"login": "somebody"}},
        {"id": 2, "body": "from another workflow", "user": {"login": "github-actions[bot]"}},
    ]
    (tmp_path / "comments.json").write_text(json.dumps(others))
    for profile in ("new", "newer"):
        (tmp_path / "repository/notebake.toml").write_text(f'[notebook]\nprofile = "{profile}"\n')
        runner.job("check", contexts)
        comments = json.loads((tmp_path / "comments.json").read_text())
        assert comments[:2] == others and len(comments) == 3
        body = comments[2]["body"]
        assert body.startswith(f"{MARKER}\n### Changes in the rendered files\n````diff\n")
        assert "old" in body and profile in body
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


def test_githubs_workflow_checks_the_catalog_bakes_and_promotes(runner: Runner, tmp_path: Path) -> None:
    signing.make_key(tmp_path / "key")
    contexts = on_main() | {"secrets": {"NOTEBAKE_SIGNING_KEY": (tmp_path / "key").read_text()}}
    assert expression(runner.made["jobs"]["access"]["if"], contexts)
    repository = tmp_path / "repository"
    assert due(runner, contexts)
    runner.job("bake", contexts)
    catalog = Catalog(str(repository / "catalog"))
    assert catalog.pointers("debian-13") == {"candidate": "1.0.0", "stable": "1.0.0"}
    assert not due(runner, contexts)
    expected = ["Check the catalog and the signer", "Bake", "Launch", "Probe", "Delete the machine",
                "Write the report"]  # fmt: skip
    assert [name for name in runner.ran if name in expected][:6] == expected
    assert catalogs.problems(catalog, signing.public_key(tmp_path / "key.pub"), datetime.now(UTC)) == []
    assert "<h1>debian-13 1.0.0" in (repository / "report-debian-13.html").read_text()
    assert list((tmp_path / "temp").iterdir()) == [], "the signing key was not removed"
    summary = (tmp_path / "summary").read_text()
    assert "stable" in summary and "only in the artifact catalog-debian-13" in summary


@pytest.mark.parametrize("runner", [{"max_severity": "high"}], indirect=True)
def test_githubs_workflow_refuses_what_the_scanner_finds(runner: Runner, tmp_path: Path) -> None:
    signing.make_key(tmp_path / "key")
    contexts = on_main() | {"secrets": {"NOTEBAKE_SIGNING_KEY": (tmp_path / "key").read_text()}}
    # A stand-in for grype, which would download its database, where the job keeps the one that it builds.
    scanner, report = tmp_path / "home/.cache/notebake/bin/grype", tmp_path / "report.json"
    scanner.parent.mkdir(parents=True)
    scanner.write_text(
        f"#!/bin/sh\n[ \"$*\" = '--quiet sbom:baked/debian-13.cdx.json -o json' ] && cat {report}\n"
    )
    scanner.chmod(0o755)
    bash = catalogs.real().software.os_packages["bash"]
    catalogs.scanned(report, ("CVE-2026-1", "Critical", "bash", bash))
    with pytest.raises(AssertionError, match=r"CVE-2026-1 \(critical\)"):
        runner.job("bake", contexts)
    catalog = Catalog(str(tmp_path / "repository/catalog"))
    assert catalog.pointers("debian-13") == {}
    catalogs.scanned(report, ("CVE-2026-1", "High", "bash", bash))
    runner.job("bake", contexts)
    assert catalog.pointers("debian-13") == {"candidate": "1.0.0", "stable": "1.0.0"}


def test_githubs_first_job_stops_at_the_wrong_key(runner: Runner, tmp_path: Path) -> None:
    signing.make_key(tmp_path / "key")
    signing.make_key(tmp_path / "other")
    contexts = on_main() | {"secrets": {"NOTEBAKE_SIGNING_KEY": (tmp_path / "key").read_text()}}
    runner.job("bake", contexts)
    contexts["secrets"] = {"NOTEBAKE_SIGNING_KEY": (tmp_path / "other").read_text()}
    with pytest.raises(AssertionError, match="never signed this catalog"):
        runner.job("access", contexts)
    assert list((tmp_path / "temp").iterdir()) == [], "the signing key was not removed"


@pytest.mark.parametrize("runner", [{"keyless": True}], indirect=True)
def test_githubs_keyless_workflow_signs_with_its_identity(runner: Runner, tmp_path: Path) -> None:
    trust = tmp_path / "trust.json"
    with running() as services:
        trust.write_text(services.trust_config())
        runner.service = services.environment() | {"NOTEBAKE_TRUST_CONFIG": str(trust)}
        runner.job("access", on_main())
        runner.job("bake", on_main())
    catalog = Catalog(str(tmp_path / "repository/catalog"))
    assert catalog.pointers("debian-13") == {"candidate": "1.0.0", "stable": "1.0.0"}
    assert (
        catalogs.problems(catalog, Identity(identity=IDENTITY, issuer=ISSUER, trust=trust), datetime.now(UTC))
        == []
    )
    stranger = Identity(identity=IDENTITY.replace("main", "fork"), issuer=ISSUER, trust=trust)
    (problem,) = catalogs.problems(catalog, stranger, datetime.now(UTC))
    assert "head.dsse.json: not signed by" in problem


@dataclass(frozen=True)
class Comments:
    """A stand-in for a service's API at `url`.

    `answers`: what a GET returns, by its path. `received`: (method, path, headers, body) of the others.
    """

    url: str
    answers: dict[str, Any]
    received: list[tuple[str, str, dict[str, str], Any]]


@pytest.fixture
def comments() -> Iterator[Comments]:
    answers: dict[str, Any] = {}
    received: list[tuple[str, str, dict[str, str], Any]] = []

    class Handler(Quiet):
        def do_GET(self) -> None:
            self._answer(200, json.dumps(answers[self.path]).encode())

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            received.append((self.command, self.path, dict(self.headers), body))
            self._answer(201, b"{}")

        do_PUT = do_PATCH = do_POST

        def _answer(self, status: int, data: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    with serving(Handler) as url:
        yield Comments(url, answers, received)


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


def test_gitlab_comments_with_the_difference_once(
    runner: Runner, changed: str, comments: Comments, tmp_path: Path
) -> None:
    pipeline = yaml.safe_load(written("gitlab", tmp_path).read_text())
    script = "\n".join(pipeline["difference"]["script"])
    env = {
        "CI_MERGE_REQUEST_DIFF_BASE_SHA": changed, "CI_API_V4_URL": f"{comments.url}/api/v4",
        "CI_PROJECT_ID": "7", "CI_MERGE_REQUEST_IID": "3",
    } | {name: pipeline["variables"][name] for name in ("SPEC", "TARGETS")}  # fmt: skip
    notes = "/api/v4/projects/7/merge_requests/3/notes"
    listed = f"{notes}?sort=asc&per_page=100&page="
    others = [{"id": number, "author": {"id": 2}, "body": MARKER} for number in range(100)]
    comments.answers.update({"/api/v4/user": {"id": 1}, f"{listed}1": others, f"{listed}2": []})
    done = runner.bash(script, env | {"GITLAB_TOKEN": "secret"})
    assert done.returncode == 0, done.stderr
    ((method, path, headers, body),) = comments.received
    assert (method, path, headers["PRIVATE-TOKEN"]) == ("POST", notes, "secret")
    assert body["body"].startswith(f"{MARKER}\n### Changes in the rendered files\n````diff\n")
    assert "new" in body["body"]
    comments.answers[f"{listed}2"] = [{"id": 500, "author": {"id": 1}, "body": body["body"]}]
    assert runner.bash(script, env | {"GITLAB_TOKEN": "secret"}).returncode == 0
    assert [row[:2] for row in comments.received[1:]] == [("PUT", f"{notes}/500")]
    assert runner.bash(script, env).returncode == 0
    assert len(comments.received) == 2


def test_azure_pipelines_comments_with_the_difference_once(
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
    } | {"SPEC": pipeline["variables"]["SPEC"]}
    threads = "/us/images/_apis/git/repositories/9/pullRequests/3/threads"
    comments.answers[f"{threads}?api-version=7.1"] = {
        "value": [{"id": 4, "comments": [{"content": "other"}]}]
    }
    for name in ("Render every target", "Lint the rendered files", "Comment with the diff"):
        done = runner.bash(named[name]["script"], env)
        assert done.returncode == 0, done.stderr
    ((method, path, headers, body),) = comments.received
    assert (method, path) == ("POST", f"{threads}?api-version=7.1")
    assert headers["Authorization"] == "Bearer secret"
    content = body["comments"][0]["content"]
    assert content.startswith(f"{MARKER}\n") and "````diff" in content and "new" in content
    comments.answers[f"{threads}?api-version=7.1"]["value"].append(
        {"id": 5, "comments": [{"content": content}]}
    )
    assert runner.bash(step["script"], env).returncode == 0
    assert [row[:2] for row in comments.received[1:]] == [
        ("PATCH", f"{threads}/5/comments/1?api-version=7.1")
    ]


def a_weeks_runs(runner: Runner, run: Callable[[], bool]) -> None:
    """Assert that `run`, which returns whether it baked, bakes and promotes what is new and nothing else."""
    repository = runner.folder / "repository"
    catalog = Catalog(str(repository / "catalog"))
    assert run() and catalog.pointers("debian-13")["stable"] == "1.0.0"
    assert not run()
    (repository / "notebake.toml").write_text('[notebook]\nprofile = "newer"\n')
    assert run() and catalog.pointers("debian-13")["stable"] == "1.0.1"
    # A version that was rolled back is not promoted again.
    signer = signing.private_key(runner.folder / "key")
    promote.rollback(catalog, "debian-13", "stable", signer=signer, now=datetime.now(UTC))
    assert not run() and catalog.pointers("debian-13")["stable"] == "1.0.0"
    # An input that cannot be read is no quiet week.
    (repository / "notebake.toml").write_text("[notebook]\nprofile = 1\n")
    with pytest.raises(AssertionError):
        run()


@pytest.fixture
def settings(runner: Runner) -> dict[str, str]:
    """Make a signing key; return the variables that every service's scripts need."""
    signing.make_key(runner.folder / "key")
    return {
        "SPEC": "notebake.toml", "TARGET": "debian-13", "NOTEBAKE_CATALOG": "catalog",
        "NOTEBAKE_SIGNING_KEY": str(runner.folder / "key"),
    }  # fmt: skip


def test_gitlabs_pipeline_bakes_what_is_new(
    runner: Runner, changed: str, settings: dict[str, str], tmp_path: Path
) -> None:
    script = "\n".join(yaml.safe_load(written("gitlab", tmp_path).read_text())["bake"]["script"])

    def run() -> bool:
        baked = runner.folder / "repository/baked"
        shutil.rmtree(baked, ignore_errors=True)
        done = runner.bash(script, settings)
        assert done.returncode == 0, done.stderr
        return baked.exists()

    a_weeks_runs(runner, run)


def test_azure_pipelines_bakes_what_is_new(
    runner: Runner, changed: str, settings: dict[str, str], tmp_path: Path
) -> None:
    _, access, bake = yaml.safe_load(written("azure-pipelines", tmp_path).read_text())["jobs"]
    settings["CACHE"] = str(tmp_path / "cache")

    def steps(job: dict[str, Any], *names: str) -> str:
        printed = ""
        for step in job["steps"]:
            if step.get("displayName") in names:
                done = runner.bash(step["script"], settings)
                assert done.returncode == 0, done.stderr
                printed += done.stdout
        return printed

    def run() -> bool:
        printed = steps(access, "Check the catalog and the key", "List the targets to bake")
        matrix = printed.rpartition("variable=matrix;isOutput=true]")[2].strip()
        if matrix == "{}":
            # A job with an empty matrix would run once, without variables.
            assert "ne(dependencies.access.outputs['due.matrix'], '{}')" in bake["condition"]
            return False
        assert json.loads(matrix) == {"debian_13": {"TARGET": "debian-13"}}
        steps(bake, "Bake", "Probe", "Delete the machine", "Add to the catalog, sign and promote")
        return True

    a_weeks_runs(runner, run)


def test_gitlabs_pipeline_stops_where_the_spec_names_other_targets(
    runner: Runner, changed: str, tmp_path: Path
) -> None:
    (tmp_path / "repository/notebake.toml").write_text('targets = ["debian-13", "ubuntu-24.04"]\n')
    pipeline = yaml.safe_load(written("gitlab", tmp_path).read_text())
    env = {name: pipeline["variables"][name] for name in ("SPEC", "TARGETS")}
    done = runner.bash(pipeline["render"]["script"][0], env)
    assert done.returncode == 1 and "names other targets (debian-13 ubuntu-24.04)" in done.stdout
    assert (
        runner.bash(pipeline["render"]["script"][0], env | {"TARGETS": "debian-13 ubuntu-24.04"}).returncode
        == 0
    )
