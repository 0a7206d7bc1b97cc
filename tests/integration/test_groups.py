"""pytest-xdist runs a group of tests in one process: tests of machines rely on it."""

from __future__ import annotations

import sys
from pathlib import Path

from notebake import process

TESTS = """\
import os
from pathlib import Path
import pytest

GROUPS = [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in "ab" * 8]

@pytest.mark.parametrize("group", GROUPS)
def test_one(group):
    with open(Path(__file__).with_name(group), "a") as seen:
        print(os.environ["PYTEST_XDIST_WORKER"], file=seen)
"""


def test_a_group_runs_in_one_process(tmp_path: Path) -> None:
    (tmp_path / "test_groups.py").write_text(TESTS)
    argv = ["-m", "pytest", "--numprocesses", "2", "--dist", "loadgroup", "-p", "no:cacheprovider", tmp_path]
    process.run([sys.executable, *argv], timeout=300)
    workers = [(tmp_path / group).read_text().split() for group in "ab"]
    assert [len(each) for each in workers] == [8, 8]
    assert [len(set(each)) for each in workers] == [1, 1] and workers[0][0] != workers[1][0]
