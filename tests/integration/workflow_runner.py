"""Runs the commands of workflows on this host: real ones, and stand-ins for machines, root and comments."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from tests import catalogs

from notebake import process
from notebake.ci import workflow

CHECKOUT = Path(__file__).parents[2]


def written(service: str, folder: Path, *, keyless: bool = False) -> Path:
    """Write the workflow of `service` below `folder` and return its path."""
    path = folder / workflow.PATHS[service]
    path.parent.mkdir(parents=True, exist_ok=True)
    requirement = workflow.default_requirement(keyless=keyless)
    path.write_bytes(workflow.render(service, requirement=requirement, keyless=keyless))
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
    names = {name: _Names(value) for name, value in contexts.items()}
    return eval(text.strip(), {"fromJSON": json.loads, "always": lambda: True, "__builtins__": {}}, names)


def filled(text: str, contexts: dict[str, Any]) -> str:
    """Return `text` with its expressions replaced by their values."""
    return re.sub(r"\$\{\{(.*?)\}\}", lambda match: str(expression(match[1], contexts)), str(text))


class Runner:
    """Runs the `run:` steps of a job as GitHub's runner does: with bash -e, output and path files."""

    def __init__(self, folder: Path, made: dict[str, Any], stand_ins: Path) -> None:
        self.folder, self.made, self.stand_ins = folder, made, stand_ins
        self.service: dict[str, str] = {}
        self.ran: list[str] = []

    def bash(self, script: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a script as all three services do, with this host's linters and the stand-ins."""
        path = f"{self.stand_ins}:{env.get('PATH', '')}:{os.environ['PATH']}:{Path(sys.executable).parent}"
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=self.folder / "repository", env={"HOME": str(self.folder / "home")} | env | {"PATH": path},
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip

    def job(self, name: str, contexts: dict[str, Any]) -> dict[str, str]:
        """Run a job and return its outputs."""
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


# bake, launch, probe, delete and doctor are stand-ins: no machine is started. Other commands are real.
_STAND_IN = """#!{python}
import os, shutil, sys
if sys.argv[1] == "bake":
    shutil.copytree({image!r}, "baked", dirs_exist_ok=True)
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


def prepare(folder: Path, *, keyless: bool) -> Runner:
    """Return a runner for a new repository with GitHub's workflow and a spec."""
    for name in ("home", "temp", "stand-ins", "repository"):
        (folder / name).mkdir()
    process.run(["uv", "build", "--wheel", "--quiet", "--out-dir", folder / "dist", CHECKOUT], timeout=300)
    (wheel,) = (folder / "dist").glob("*.whl")
    path = written("github", folder / "repository", keyless=keyless)
    made = yaml.safe_load(path.read_text())
    made["env"]["NOTEBAKE"] = str(wheel)
    image = catalogs.write(folder / "baking", 1)
    probe = folder / "passed.json"
    probe.write_text(catalogs.probe().model_dump_json())
    packages = str(Path(next(entry for entry in sys.path if entry.endswith("site-packages"))))
    stand_in = folder / "stand-ins/notebake"
    stand_in.write_text(
        _STAND_IN.format(python=sys.executable, image=str(image.parent), probe=str(probe), packages=packages)
    )
    gh = folder / "stand-ins/gh"
    gh.write_text(f"#!/bin/sh\ncat comment.md > {shlex.quote(str(folder / 'comment'))}\n")
    sudo = folder / "stand-ins/sudo"
    # Do not change the real /dev/kvm, and install no packages.
    sudo.write_text('#!/bin/sh\ncase $1 in\nchmod | apt-get) ;;\n*) exec "$@" ;;\nesac\n')
    apt = folder / "stand-ins/apt-get"
    apt.write_text("#!/bin/sh\n")
    for program in (stand_in, gh, sudo, apt):
        program.chmod(0o755)
    git = ["git", "-C", folder / "repository", "-c", "user.name=A", "-c", "user.email=a@example.com"]
    (folder / "repository/notebake.toml").write_text('[notebook]\nprofile = "old"\n')
    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "One"]):
        process.run([*git, *words], timeout=60)
    return Runner(folder, made, folder / "stand-ins")
