"""GitHub's workflow: each `run:` line as a runner does it, in a Debian 13 that is set up like one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.integration.test_workflow_runs import on_main
from tests.integration.workflow_runner import Runner
from tests.workflows import checkout, root

from notebake import process
from notebake.catalog import signing
from notebake.ci import workflow

WORK = "/home/runner/work"
# What GitHub's image has of it: a user with sudo, Packer on PATH, apt that reads a list of mirrors.
SET_UP = r"""
update-ca-certificates
useradd --create-home --shell /bin/bash runner
echo 'runner ALL=(ALL) NOPASSWD:ALL' > /etc/sudoers.d/runner
read -r _ mirror _ < <(grep '^deb' /etc/apt/sources.list | sed 's/\[.*\] //')
echo "deb $mirror bookworm main" > /etc/apt/sources.list.d/once.list
apt-get update -q
apt-get install -qy --no-install-recommends packer
cp "$(command -v packer)" /usr/local/bin/packer
apt-get purge -qy packer
rm /etc/apt/sources.list.d/once.list
printf '%s\tpriority:1\n' "$mirror" > /etc/apt/apt-mirrors.txt
echo 'deb mirror+file:/etc/apt/apt-mirrors.txt trixie main' > /etc/apt/sources.list
apt-get update -q
chown -R runner:runner /home/runner
"""


class RootRunner(Runner):
    """Runs the steps in a root, as the user runner."""

    def __init__(self, entered: root.Root, made: dict[str, Any], log: Path) -> None:
        super().__init__(entered.folder / WORK.removeprefix("/"), made, inside=Path(WORK))
        self.entered, self.log = entered, log

    def bash(self, script: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        path = f"{env.get('PATH', '')}:{root.PATH}".lstrip(":")
        before = self.log.stat().st_size if self.log.exists() else 0
        code = self.entered.run(
            script, self.log, env=env | {"PATH": path}, user="runner", cwd=f"{WORK}/repository"
        )
        printed = self.log.read_bytes()[before:].decode("utf-8", "replace")
        return subprocess.CompletedProcess(script, code, printed, "")


@pytest.mark.timeout(5400)
def test_the_workflow_goes_from_a_checkout_to_a_promoted_version(
    folder: Path, requirement: tuple[Path, str], tmp_path: Path
) -> None:
    root.make(folder, "ca-certificates", "git", "jq", "python3-venv", "shellcheck", "sudo")
    shutil.copy(requirement[0], folder / "srv")
    work = folder / WORK.removeprefix("/")
    commit = checkout.make(work / "repository", "github", requirement[1])
    (work / "temp").mkdir()
    made = yaml.safe_load((work / "repository" / workflow.PATHS["github"]).read_text())
    signing.make_key(tmp_path / "key")
    contexts = on_main() | {"secrets": {"NOTEBAKE_SIGNING_KEY": (tmp_path / "key").read_text()}}
    with root.entered(folder) as entered:
        assert entered.run(SET_UP, tmp_path / "set-up.log") == 0, process.tail(
            (tmp_path / "set-up.log").read_bytes()
        )
        runner = RootRunner(entered, made, tmp_path / "run.log")
        outputs = []
        for job in ("check", "access", "bake", "access"):
            # Each job has a runner, and so a checkout, of its own; the catalog stays, as one with a URL does.
            assert runner.bash("git clean -ffdqx --exclude=catalog", {}).returncode == 0
            outputs.append(runner.job(job, contexts))
    assert outputs == [{}, {"targets": '["debian-13"]'}, {}, {"targets": "[]"}]
    checkout.verify(work / "repository/catalog", tmp_path / "key.pub", commit)
    assert "stable" in (work / "summary").read_text()
