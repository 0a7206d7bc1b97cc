"""Runs the commands of workflows on this host: real ones, and stand-ins for machines, root and comments."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from tests import catalogs

from notebake import process
from notebake.ci import workflow
from notebake.files import sha256
from notebake.plan import spec

CHECKOUT = Path(__file__).parents[2]


# Only its form matters to tests that do not install it.
WHEEL = f"https://dl.example/notebake-1.0-py3-none-any.whl#sha256={'a' * 64}"


def written(service: str, folder: Path, *, requirement: str = WHEEL, text: str = "", **options: Any) -> Path:
    """Write the workflow of `service` for the spec `text` below `folder` and return its path."""
    path = folder / workflow.PATHS[service]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        workflow.render(
            service, spec.parse(text, source="notebake.toml"), spec_path="notebake.toml",
            requirement=requirement, command="notebake ci", **options,
        )
    )  # fmt: skip
    return path


class _Names:
    """A context of GitHub's expressions; a missing name is the empty string."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def __getattr__(self, name: str) -> Any:
        value = self._values.get(name, "")
        return _Names(value) if isinstance(value, dict) else value


def expression(text: str, contexts: dict[str, Any]) -> Any:
    """Return the value of a GitHub expression; only with the syntax that our workflow uses."""
    text = re.sub(r"!(?!=)", " not ", text.replace("&&", " and ").replace("||", " or "))
    names = {name: _Names(value) for name, value in ({"inputs": {}} | contexts).items()}
    functions = {"fromJSON": json.loads, "always": lambda: True}
    functions |= {"failure": lambda: False, "cancelled": lambda: False}
    return eval(text.strip(), functions | {"__builtins__": {}}, names)


def filled(text: str, contexts: dict[str, Any]) -> str:
    """Return `text` with its expressions replaced by their values."""
    return re.sub(r"\$\{\{(.*?)\}\}", lambda match: str(expression(match[1], contexts)), str(text))


class Runner:
    """Runs the `run:` steps of a job as GitHub's runner does: with bash -e, output and path files."""

    def __init__(self, folder: Path, made: dict[str, Any], *, inside: Path | None = None) -> None:
        # `inside`: the folder's path as the steps see it.
        self.folder, self.made, self.inside = folder, made, inside or folder
        self.service: dict[str, str] = {}
        self.ran: list[str] = []

    def bash(self, script: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a script as all three services do, with this host's linters and the stand-ins."""
        folders = (
            f"{self.folder}/stand-ins",
            env.get("PATH", ""),
            os.environ["PATH"],
            sys.exec_prefix + "/bin",
        )
        path = ":".join(folders)
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=self.folder / "repository", env={"HOME": str(self.folder / "home")} | env | {"PATH": path},
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip

    def job(self, name: str, contexts: dict[str, Any]) -> dict[str, str]:
        """Run a job and return its outputs."""
        assert self.made["defaults"] == {"run": {"shell": "bash"}}, "`bash` uses other options"
        job, paths = self.made["jobs"][name], self.folder / "paths"
        contexts = {**contexts, "steps": {}}
        paths.write_text("")
        (self.folder / "summary").touch()
        for path in (paths, self.folder / "summary"):
            path.chmod(0o666)
        for step in job["steps"]:
            if "run" not in step or not expression(step.get("if", "True"), contexts):
                continue
            out = self.folder / "output"
            out.write_text("")
            out.chmod(0o666)
            settings = self.made.get("env", {}) | job.get("env", {}) | step.get("env", {})
            env = {
                "PATH": ":".join(reversed(paths.read_text().split())),
                "GITHUB_OUTPUT": str(self.inside / "output"), "GITHUB_PATH": str(self.inside / "paths"),
                "GITHUB_STEP_SUMMARY": str(self.inside / "summary"),
                "RUNNER_TEMP": str(self.inside / "temp"), "GITHUB_REPOSITORY": "me/images",
            } | self.service | {key: filled(value, contexts) for key, value in settings.items()}  # fmt: skip
            done = self.bash(filled(step["run"], contexts), env)
            assert done.returncode == 0, (step["name"], done.stdout, done.stderr)
            self.ran.append(step["name"])
            outputs = dict(line.split("=", 1) for line in out.read_text().splitlines())
            if "id" in step:
                contexts["steps"][step["id"]] = {"outputs": outputs}
        return {key: filled(value, contexts) for key, value in job.get("outputs", {}).items()}


# bake, launch, probe, delete and doctor are stand-ins: no machine is started. Other commands are real. The
# baked disk is always the same, with the content id of the plan.
_STAND_IN = """#!{python}
import json, os, pathlib, shutil, subprocess, sys
if sys.argv[1] == "bake":
    shutil.copytree({image!r}, "baked", dirs_exist_ok=True)
    planned = subprocess.check_output([sys.argv[0], "plan", *sys.argv[2:], "--json"])
    record = pathlib.Path("baked", sys.argv[2] + ".json")
    content = json.loads(record.read_text()) | {{"content_id": json.loads(planned)["content_id"]}}
    record.write_text(json.dumps(content))
elif sys.argv[1] == "probe":
    print(open({probe!r}).read())
elif sys.argv[1] in ("launch", "delete", "doctor"):
    print("{{}}")
else:
    os.environ["PYTHONPATH"] = {packages!r}
    python = os.path.expanduser("~/notebake/bin/python")
    program = "from notebake.cli.main import main; main()"
    os.execv(python, [python, "-c", program, *sys.argv[1:]])
"""


# Only what the workflow calls: a list of comments through a jq filter, a new comment, a changed one.
_GH = """#!{python}
import json, pathlib, subprocess, sys
store = pathlib.Path({store!r})
comments = json.loads(store.read_text())
args = sys.argv[1:]
assert args.pop(0) == "api"
if "--jq" in args:
    assert "--paginate" in args and args[1].startswith("repos/me/images/issues/7/comments?")
    filtered = ["jq", "-r", args[args.index("--jq") + 1]]
    sys.exit(subprocess.run(filtered, input=json.dumps(comments), text=True).returncode)
body = json.loads(pathlib.Path(args[args.index("--input") + 1]).read_text())["body"]
method, path = args[args.index("--method") + 1 :][:2]
if method == "POST":
    assert path == "repos/me/images/issues/7/comments"
    comments.append({{"id": len(comments) + 1, "body": body, "user": {{"login": "github-actions[bot]"}}}})
else:
    assert (method, path.rpartition("/")[0]) == ("PATCH", "repos/me/images/issues/comments")
    (comment,) = (item for item in comments if item["id"] == int(path.rpartition("/")[2]))
    comment["body"] = body
store.write_text(json.dumps(comments))
"""


def prepare(folder: Path, **options: Any) -> Runner:
    """Return a runner for a new repository with GitHub's workflow, written with `options`, and a spec."""
    for name in ("home", "temp", "stand-ins", "repository"):
        (folder / name).mkdir()
    process.run(["uv", "build", "--wheel", "--quiet", "--out-dir", folder / "dist", CHECKOUT], timeout=300)
    (wheel,) = (folder / "dist").glob("*.whl")
    requirement = f"{wheel.as_uri()}#sha256={sha256(wheel)}"
    path = written("github", folder / "repository", requirement=requirement, **options)
    made = yaml.safe_load(path.read_text())
    image = catalogs.write(folder / "baking", 1)
    probe = folder / "passed.json"
    probe.write_text(catalogs.probe(image).model_dump_json())
    packages = str(Path(next(entry for entry in sys.path if entry.endswith("site-packages"))))
    stand_in = folder / "stand-ins/notebake"
    stand_in.write_text(
        _STAND_IN.format(python=sys.executable, image=str(image.parent), probe=str(probe), packages=packages)
    )
    gh = folder / "stand-ins/gh"
    gh.write_text(_GH.format(python=sys.executable, store=str(folder / "comments.json")))
    sudo = folder / "stand-ins/sudo"
    # Do not change the real /dev/kvm, and install no packages.
    sudo.write_text(
        '#!/bin/sh\ncase $1 in --preserve-env=*) shift ;; esac\ncase $1 in chmod) ;; *) exec "$@" ;; esac\n'
    )
    apt = folder / "stand-ins/apt-get"
    apt.write_text("#!/bin/sh\n")
    for program in (stand_in, gh, sudo, apt):
        program.chmod(0o755)
    git = ["git", "-C", folder / "repository", "-c", "user.name=A", "-c", "user.email=a@example.com"]
    (folder / "repository/notebake.toml").write_text('[notebook]\nprofile = "old"\n')
    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "One"]):
        process.run([*git, *words], timeout=60)
    made["env"] |= {"PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1"}
    return Runner(folder, made)
