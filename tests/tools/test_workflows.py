"""The workflows: read by zizmor and by the services' schemas, and GitHub's run, line by line, in its order."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests import images
from tests.tools.sigstore_services import IDENTITY, ISSUER, Services

from notebake import process, signing, workflow
from notebake.catalog import Catalog, verification
from notebake.keyless import Identity

CHECKOUT = Path(__file__).parents[2]
SCHEMAS = {
    "github": ["vendor.github-workflows"],
    "gitlab": ["vendor.gitlab-ci", "--data-transform", "gitlab-ci"],
    # Its schema has patterns that no unicode regular expression may have.
    "azure-pipelines": [
        "vendor.azure-pipelines",
        "--data-transform",
        "azure-pipelines",
        "--regex-variant",
        "nonunicode",
    ],
}


def written(service: str, folder: Path, *, keyless: bool = False) -> Path:
    path = folder / workflow.PATHS[service]
    path.parent.mkdir(parents=True, exist_ok=True)
    wanted = workflow.requirement(keyless=keyless)
    path.write_bytes(workflow.render(service, wanted=wanted, keyless=keyless))
    return path


def schema(service: str, path: Path) -> int:
    argv = ["check-jsonschema", "--builtin-schema", *SCHEMAS[service], path]
    return process.run(argv, timeout=120, check=False).returncode


@pytest.mark.parametrize(
    ("service", "keyless", "old", "new"),
    [
        ("github", False, "runs-on: ubuntu-24.04", "run-on: ubuntu-24.04"),
        ("github", True, "id-token: write", "id-tokens: write"),
        ("gitlab", False, "expire_in: 1 week", "expire_in: [1]"),
        ("gitlab", True, "aud: sigstore", "audience: sigstore"),
        ("azure-pipelines", False, "timeoutInMinutes:", "timeoutInMinute:"),
    ],
)
def test_the_services_schema(service: str, keyless: bool, old: str, new: str, tmp_path: Path) -> None:
    path = written(service, tmp_path, keyless=keyless)
    assert schema(service, path) == 0
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    assert schema(service, path) != 0


def test_zizmor_finds_nothing_and_would(tmp_path: Path) -> None:
    def findings(path: Path) -> set[str]:
        said = process.run(
            ["zizmor", "--offline", "--no-progress", "--format=json", path], timeout=120, check=False
        ).stdout.decode()
        return {
            row["ident"]
            for row in json.loads(said[said.index("[\n") if "[\n" in said else said.index("[]") :])
        }

    assert findings(written("github", tmp_path, keyless=True)) == set()
    path = written("github", tmp_path)
    assert findings(path) == set()
    text = path.read_text()
    path.write_text(re.sub(r"checkout@\w{40}", "checkout@v5", text).replace("permissions: {}", ""))
    assert "unpinned-uses" in findings(path)


class _Names:
    """A context of GitHub's expressions; what is not there is the empty string."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def __getattr__(self, name: str) -> Any:
        value = self._values.get(name, "")
        return _Names(value) if isinstance(value, dict) else value


def expression(text: str, contexts: dict[str, Any]) -> Any:
    """The value of one of GitHub's expressions: what this workflow uses of them, in Python's words."""
    text = re.sub(r"!(?!=)", " not ", text.replace("&&", " and ").replace("||", " or "))
    names = {name: _Names(value) for name, value in contexts.items()}
    return eval(text.strip(), {"fromJSON": json.loads, "always": lambda: True, "__builtins__": {}}, names)


def filled(text: str, contexts: dict[str, Any]) -> str:
    return re.sub(r"\$\{\{(.*?)\}\}", lambda found: str(expression(found[1], contexts)), str(text))


class Runner:
    """Runs the `run:` steps of a job as GitHub's runner does: bash -e, the two files, environments in order."""

    def __init__(self, folder: Path, made: dict[str, Any], stand_ins: Path) -> None:
        self.folder, self.made, self.stand_ins = folder, made, stand_ins
        self.service: dict[str, str] = {}
        self.ran: list[str] = []

    def bash(self, script: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        """A script as all three services run it, with this computer's linters and the stand-ins."""
        found = f"{self.stand_ins}:{env.get('PATH', '')}:{os.environ['PATH']}:{Path(sys.executable).parent}"
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=self.folder / "repository", env={"HOME": str(self.folder / "home")} | env | {"PATH": found},
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip

    def job(self, name: str, contexts: dict[str, Any]) -> dict[str, str]:
        job, paths = self.made["jobs"][name], self.folder / "paths"
        contexts = {**contexts, "steps": {}}
        paths.write_text("")
        for step in job["steps"]:
            if "run" not in step or not expression(step.get("if", "True"), contexts):
                continue
            out = self.folder / "output"
            out.write_text("")
            settings = self.made.get("env", {}) | job.get("env", {}) | step.get("env", {})
            env = {
                "PATH": ":".join(reversed(paths.read_text().split())),
                "GITHUB_OUTPUT": str(out), "GITHUB_PATH": str(paths),
                "GITHUB_STEP_SUMMARY": str(self.folder / "summary"), "RUNNER_TEMP": str(self.folder / "temp"),
                "PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1",
            } | self.service | {key: filled(value, contexts) for key, value in settings.items()}  # fmt: skip
            done = self.bash(filled(step["run"], contexts), env)
            assert done.returncode == 0, (step["name"], done.stdout, done.stderr)
            self.ran.append(step["name"])
            outputs = dict(line.split("=", 1) for line in out.read_text().splitlines())
            if "id" in step:
                contexts["steps"][step["id"]] = {"outputs": outputs}
        return {key: filled(value, contexts) for key, value in job.get("outputs", {}).items()}


# No machine is started here: bake, launch, probe and stop are stand-ins, every other command is the real one.
_STAND_IN = """#!{python}
import os, shutil, sys
if sys.argv[1] == "bake":
    shutil.copytree({image!r}, "baked", dirs_exist_ok=True)
elif sys.argv[1] == "probe":
    print(open({probe!r}).read())
elif sys.argv[1] in ("launch", "stop", "doctor"):
    print("{{}}")
else:
    os.environ["PYTHONPATH"] = {packages!r}
    python = os.path.expanduser("~/notebake/bin/python")
    program = "from notebake.cli import main; main()"
    os.execv(python, [python, "-c", program, *sys.argv[1:]])
"""


@pytest.fixture
def runner(request: pytest.FixtureRequest, tmp_path: Path) -> Runner:
    """Of a repository with GitHub's workflow; with `keyless` as its parameter, of the one that has no key."""
    for name in ("home", "temp", "stand-ins", "repository"):
        (tmp_path / name).mkdir()
    process.run(["uv", "build", "--wheel", "--quiet", "--out-dir", tmp_path / "dist", CHECKOUT], timeout=300)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    path = written("github", tmp_path / "repository", keyless=getattr(request, "param", None) == "keyless")
    made = yaml.safe_load(path.read_text())
    made["env"]["NOTEBAKE"] = str(wheel)
    image = images.write(tmp_path / "baking", 1)
    probe = tmp_path / "green.json"
    probe.write_text(images.probe().model_dump_json())
    packages = str(Path(next(entry for entry in sys.path if entry.endswith("site-packages"))))
    stand_in = tmp_path / "stand-ins/notebake"
    stand_in.write_text(
        _STAND_IN.format(python=sys.executable, image=str(image.parent), probe=str(probe), packages=packages)
    )
    gh = tmp_path / "stand-ins/gh"
    gh.write_text(f"#!/bin/sh\ncat comment.md > {shlex.quote(str(tmp_path / 'comment'))}\n")
    sudo = tmp_path / "stand-ins/sudo"
    # Not chmod of the real /dev/kvm, and no packages: they are here.
    sudo.write_text('#!/bin/sh\ncase $1 in\nchmod | apt-get) ;;\n*) exec "$@" ;;\nesac\n')
    apt = tmp_path / "stand-ins/apt-get"
    apt.write_text("#!/bin/sh\n")
    for item in (stand_in, gh, sudo, apt):
        item.chmod(0o755)
    git = ["git", "-C", tmp_path / "repository", "-c", "user.name=A", "-c", "user.email=a@example.com"]
    (tmp_path / "repository/notebake.toml").write_text('[notebook]\nprofile = "old"\n')
    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "One"]):
        process.run([*git, *words], timeout=60)
    return Runner(tmp_path, made, tmp_path / "stand-ins")


def on_main(folder: Path) -> dict[str, Any]:
    """The contexts of a push to the main branch."""
    workflow_ref = f"me/images/{workflow.PATHS['github']}@refs/heads/main"
    return {
        "github": {
            "event_name": "push", "ref": "refs/heads/main", "run_id": "1", "server_url": "https://github.com",
            "workflow_ref": workflow_ref,
        },
        "matrix": {"target": "debian-13"}, "vars": {"NOTEBAKE_CATALOG": str(folder / "catalog")},
        "secrets": {},
    }  # fmt: skip


def test_githubs_workflow_from_check_to_promotion(runner: Runner, tmp_path: Path) -> None:
    head = process.run(["git", "-C", tmp_path / "repository", "rev-parse", "HEAD"], timeout=60).stdout
    (tmp_path / "repository/notebake.toml").write_text('[notebook]\nprofile = "new"\n')
    request = {"base": {"sha": head.decode().strip()}, "number": 7, "head": {"repo": {"fork": False}}}
    github = {"event_name": "pull_request", "event": {"pull_request": request}, "token": "t"}
    outputs = runner.job("check", {"github": github})
    assert "debian-13" in json.loads(outputs["targets"]) and "windows-2025" not in outputs["targets"]
    (lint,) = (
        step["run"]
        for step in runner.made["jobs"]["check"]["steps"]
        if step.get("name") == "Lint what was rendered"
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
    for _ in range(2):  # the second time nothing is new, and nothing is added
        runner.job("bake", contexts)
        catalog = Catalog(str(tmp_path / "catalog"))
        assert catalog.pointers("debian-13") == {"candidate": "1.0.0", "stable": "1.0.0"}
    assert [name for name in runner.ran if name in ("Bake", "Launch", "Probe", "Stop", "Write the report")][:5] == [
        "Bake", "Launch", "Probe", "Stop", "Write the report",
    ]  # fmt: skip
    assert verification.problems(catalog, signing.public_key(tmp_path / "key.pub")) == []
    assert "<h1>debian-13 1.0.0" in (tmp_path / "repository/report-debian-13.html").read_text()
    assert list((tmp_path / "temp").iterdir()) == [], "the signing key stays behind"
    assert "stable" in (tmp_path / "summary").read_text()


@pytest.mark.parametrize("runner", ["keyless"], indirect=True)
def test_githubs_workflow_signs_as_itself(runner: Runner, tmp_path: Path) -> None:
    services = Services()
    try:
        trust = tmp_path / "trust.json"
        trust.write_text(services.trust_config())
        runner.service = services.environment() | {"NOTEBAKE_TRUST_CONFIG": str(trust)}
        runner.job("bake", on_main(tmp_path))
    finally:
        services.close()
    catalog = Catalog(str(tmp_path / "catalog"))
    assert catalog.pointers("debian-13") == {"candidate": "1.0.0", "stable": "1.0.0"}
    assert verification.problems(catalog, Identity(identity=IDENTITY, issuer=ISSUER, trust=trust)) == []
    stranger = Identity(identity=IDENTITY.replace("main", "fork"), issuer=ISSUER, trust=trust)
    assert len(verification.problems(catalog, stranger)) == 2


class Comments:
    """A stand-in for a service's API: takes comments."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, dict[str, str], Any]] = []
        taken = self.taken

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                taken.append((self.path, dict(self.headers), body))
                self.send_response(201)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *words: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def comments() -> Iterator[Comments]:
    made = Comments()
    yield made
    made.close()


@pytest.fixture
def changed(runner: Runner) -> str:
    """The commit before a change of the spec, in the runner's repository; its notebake is this one."""
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
    made = yaml.safe_load(written("gitlab", tmp_path).read_text())
    script = "\n".join(made["difference"]["script"])
    env = {
        "CI_MERGE_REQUEST_DIFF_BASE_SHA": changed, "CI_API_V4_URL": f"{comments.url}/api/v4",
        "CI_PROJECT_ID": "7", "CI_MERGE_REQUEST_IID": "3",
    }  # fmt: skip
    done = runner.bash(script, env | {"GITLAB_TOKEN": "secret"})
    assert done.returncode == 0, done.stderr
    ((path, headers, body),) = comments.taken
    assert path == "/api/v4/projects/7/merge_requests/3/notes" and headers["PRIVATE-TOKEN"] == "secret"
    assert body["body"].startswith("### What would be rendered\n```diff\n") and "new" in body["body"]
    process.run(["git", "-C", tmp_path / "repository", "worktree", "remove", "../base"], timeout=60)
    assert runner.bash(script, env).returncode == 0
    assert len(comments.taken) == 1


def test_azure_pipelines_comments_with_the_difference(
    runner: Runner, changed: str, comments: Comments, tmp_path: Path
) -> None:
    made = yaml.safe_load(written("azure-pipelines", tmp_path).read_text())
    named = {step.get("displayName"): step for step in made["jobs"][0]["steps"]}
    git = ["git", "-C", tmp_path / "repository", "update-ref", "refs/remotes/origin/main", changed]
    process.run(git, timeout=60)
    values = {
        "System.PullRequest.TargetBranch": "refs/heads/main", "System.CollectionUri": f"{comments.url}/us/",
        "System.TeamProject": "images", "Build.Repository.ID": "9", "System.PullRequest.PullRequestId": "3",
        "System.AccessToken": "secret",
    }  # fmt: skip
    step = named["Comment with the difference"]
    env = {
        name: re.sub(r"\$\(([\w.]+)\)", lambda found: values[found[1]], value)
        for name, value in step["env"].items()
    }
    for script in (
        named["Render every target"]["script"],
        named["Lint what was rendered"]["script"],
        step["script"],
    ):
        done = runner.bash(script, env)
        assert done.returncode == 0, done.stderr
    ((path, headers, body),) = comments.taken
    assert path == "/us/images/_apis/git/repositories/9/pullRequests/3/threads?api-version=7.1"
    assert headers["Authorization"] == "Bearer secret"
    assert "```diff" in body["comments"][0]["content"] and "new" in body["comments"][0]["content"]
