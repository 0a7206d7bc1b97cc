"""The workflows: read by zizmor and by the services' schemas, and GitHub's run, line by line, in its order."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
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
            found = reversed(paths.read_text().split())
            env = {
                "HOME": str(self.folder / "home"),
                "PATH": ":".join([str(self.stand_ins), *found, os.environ["PATH"]]),
                "GITHUB_OUTPUT": str(out), "GITHUB_PATH": str(paths),
                "GITHUB_STEP_SUMMARY": str(self.folder / "summary"), "RUNNER_TEMP": str(self.folder / "temp"),
                "PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1",
            } | self.service | {key: filled(value, contexts) for key, value in settings.items()}  # fmt: skip
            done = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", filled(step["run"], contexts)],
                cwd=self.folder / "repository", env=env, capture_output=True, text=True, timeout=300,
            )  # fmt: skip
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
    # Not chmod of the real /dev/kvm.
    sudo.write_text('#!/bin/sh\ncase $1 in\nchmod) ;;\n*) exec "$@" ;;\nesac\n')
    for item in (stand_in, gh, sudo):
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
    }  # fmt: skip


def test_githubs_workflow_from_check_to_promotion(runner: Runner, tmp_path: Path) -> None:
    head = process.run(["git", "-C", tmp_path / "repository", "rev-parse", "HEAD"], timeout=60).stdout
    (tmp_path / "repository/notebake.toml").write_text('[notebook]\nprofile = "new"\n')
    request = {"base": {"sha": head.decode().strip()}, "number": 7, "head": {"repo": {"fork": False}}}
    github = {"event_name": "pull_request", "event": {"pull_request": request}, "token": "t"}
    outputs = runner.job("check", {"github": github})
    assert "debian-13" in json.loads(outputs["targets"]) and "windows-2025" not in outputs["targets"]
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
