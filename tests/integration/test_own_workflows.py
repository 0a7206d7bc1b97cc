"""This project's own workflows are valid by GitHub's schema, pass zizmor, and run targets that Make has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from notebake import process

CHECKOUT = Path(__file__).parents[2]
WORKFLOWS = sorted((CHECKOUT / ".github/workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_the_workflow_is_valid_and_zizmor_finds_nothing(path: Path, tmp_path: Path) -> None:
    schema = ["check-jsonschema", "--builtin-schema", "vendor.github-workflows"]
    zizmor = ["zizmor", "--offline", "--no-progress"]
    for argv in (schema, zizmor):
        assert process.run([*argv, path], timeout=120, check=False).returncode == 0, argv
    broken = tmp_path / path.name
    broken.write_text(re.sub(r"@[0-9a-f]{40}", "@v1", path.read_text()).replace("runs-on:", "run-on:"))
    for argv in (schema, zizmor):
        assert process.run([*argv, broken], timeout=120, check=False).returncode != 0, argv


def test_ci_runs_every_part_of_make_test() -> None:
    makefile = (CHECKOUT / "Makefile").read_text()
    parts = re.search(r"^test: (.*?) ##", makefile, re.MULTILINE)
    assert parts is not None
    jobs = yaml.safe_load((CHECKOUT / ".github/workflows/ci.yml").read_text())["jobs"]
    targets = {row["target"] for row in jobs["test"]["strategy"]["matrix"]["include"]}
    assert targets == {*parts[1].split(), "dist"}


def test_only_the_job_that_publishes_may_prove_its_identity() -> None:
    jobs = yaml.safe_load((CHECKOUT / ".github/workflows/release.yml").read_text())["jobs"]
    assert {name: job["permissions"] for name, job in jobs.items()} == {
        "build": {"contents": "read"},
        "publish": {"id-token": "write"},
    }
    assert not any("run" in step for step in jobs["publish"]["steps"])
