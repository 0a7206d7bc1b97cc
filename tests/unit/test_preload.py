"""What a spec preloads: files, folders, notebooks of every format, examples, pinned URLs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from notebake.errors import SpecError
from notebake.plan import preload
from notebake.plan.plan import Plan
from notebake.provision import files

COMMIT, DIGEST = "a" * 40, "b" * 64
OLD = {"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}, "worksheets": [{"cells": []}]}
NEW = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "course/data/.git").mkdir(parents=True)
    (tmp_path / "course/.ipynb_checkpoints").mkdir()
    for name in ("course/data/.git/x", "course/.ipynb_checkpoints/a-checkpoint.ipynb", "course/.hidden"):
        (tmp_path / name).touch()
    (tmp_path / "course/data/table.csv").write_text("a,b\n1,2\n")
    (tmp_path / "course/data/picture.png").write_bytes(b"\x89PNG\0\xff")
    (tmp_path / "course/old.ipynb").write_text(json.dumps(OLD))
    (tmp_path / "two.ipynb").write_text(json.dumps(OLD | {"nbformat": 2}))
    (tmp_path / "new.ipynb").write_text(json.dumps(NEW))
    return tmp_path


def test_folders_and_files_of_every_kind_are_read(folder: Path) -> None:
    found = dict(preload.read(("course", "two.ipynb", "new.ipynb", "./course/data/table.csv"), folder))
    assert sorted(found) == [
        *("course/data/picture.png", "course/data/table.csv", "course/old.ipynb"),
        *("new.ipynb", "table.csv", "two.ipynb"),
    ]


def test_a_binary_file_gets_into_user_data(folder: Path, make_plan: Callable[..., Plan]) -> None:
    names = {
        item.path: item.data for item in files.build(make_plan('[notebook]\npreload = ["course"]')).files
    }
    config = json.loads(names["config.json"])
    assert config["preload"]["encoded"] == ["course/data/picture.png"]
    assert b"\0" not in names["notebooks/course/data/picture.png"]
    assert "preload.py" in names and "preload.py" not in {
        item.path for item in files.build(make_plan("")).files
    }


def test_a_long_name_in_any_script_fits_into_the_archive(
    tmp_path: Path, make_plan: Callable[..., Plan]
) -> None:
    name = "講義" * 40 + ".csv"
    (tmp_path / name).write_text("1")
    assert files.build(make_plan(f'[notebook]\npreload = ["{name}"]')).archive()


def test_the_examples_are_notebooks_without_output() -> None:
    found = preload.read(("examples",), Path("/nonexistent"))
    assert [name for name, _ in found] == [
        *("inline-plot.ipynb", "network-analysis.ipynb", "parallel-computing.ipynb", "rich-media.ipynb"),
        "spectral-analysis.ipynb",
    ]
    for _, data in found:
        cells = json.loads(data)["cells"]
        assert not any(cell.get("outputs") for cell in cells)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\xef\xbb\xbf" + json.dumps(NEW).encode(), "byte order mark"),
        (json.dumps(NEW).encode("utf-16"), "UTF-16"),
        (b"{}", "nbformat"),
        (b'{"nbformat": 1, "cells": []}', "nbformat"),
        (b'{"nbformat": 4}', "no cells"),
        (b"[]", "nbformat"),
        (b"not JSON", "not JSON"),
    ],
)
def test_what_jupyter_could_not_open_is_refused(tmp_path: Path, data: bytes, problem: str) -> None:
    (tmp_path / "x.ipynb").write_bytes(data)
    with pytest.raises(SpecError, match=problem):
        preload.read(("x.ipynb",), tmp_path)


def test_two_files_of_one_name_are_refused(folder: Path) -> None:
    (folder / "other").mkdir()
    (folder / "other/new.ipynb").write_text(json.dumps(NEW))
    with pytest.raises(SpecError, match=r"new\.ipynb comes twice"):
        preload.read(("new.ipynb", "other/new.ipynb"), folder)
    with pytest.raises(SpecError, match="no such file or folder"):
        preload.read(("missing",), folder)


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        (f"git+https://git.example/team/course.git@{COMMIT}", "course"),
        (f"git+https://git.example:8443/team/course@{COMMIT}", "course"),
        (f"https://files.example/a%20b-1.2.tar.gz#sha256={DIGEST}", "a b-1.2"),
        (f"http://files.example/data.tgz#sha256={DIGEST}", "data"),
    ],
)
def test_a_pinned_url_is_fetched_by_the_machine(
    make_plan: Callable[..., Plan], entry: str, name: str
) -> None:
    plan = make_plan(f'[notebook]\npreload = ["{entry}"]')
    (item,) = files.config(plan)["preload"]["fetched"]
    assert item["folder"] == name and item["git"] == entry.startswith("git")
    assert item["pin"] in (COMMIT, DIGEST) and item["pin"] not in item["url"]


@pytest.mark.parametrize(
    "entry",
    [
        "git+https://git.example/course.git",
        "git+https://git.example/course.git@main",
        "https://files.example/a.tar.gz",
        f"https://files.example/a.zip#sha256={DIGEST}",
        f"git+ssh://git@git.example/course@{COMMIT}",
    ],
)
def test_a_url_without_a_pin_is_refused(make_plan: Callable[..., Plan], entry: str) -> None:
    with pytest.raises(SpecError, match="must be git"):
        make_plan(f'[notebook]\npreload = ["{entry}"]')


def test_windows_takes_files_and_no_urls(folder: Path, make_plan: Callable[..., Plan]) -> None:
    assert make_plan('[notebook]\npreload = ["new.ipynb"]', "windows-2025").notebooks
    with pytest.raises(SpecError, match="URLs are not supported on Windows"):
        make_plan(f'[notebook]\npreload = ["git+https://git.example/a@{COMMIT}"]', "windows-2025")
