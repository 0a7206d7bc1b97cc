"""A user installs packages from a notebook, into a layer over the locked environment."""

from __future__ import annotations

import contextlib
import datetime
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.jupyter_servers import JupyterServers, failed, run

from notebake.probe.context import Context
from notebake.probe.kernel import Outcome
from notebake.probe.subject import Subject

SECONDS = 300


@pytest.fixture(scope="module")
def subject(jupyter: JupyterServers) -> Subject:
    return jupyter.ready(jupyter.start("layer"))


@pytest.fixture
def home(jupyter: JupyterServers, subject: Subject) -> Iterator[Path]:
    """The home of the server's user, without a layer."""
    home = jupyter.root / "layer"
    yield home
    home.chmod(0o755)
    for name in (".venv", ".venv-old"):
        shutil.rmtree(home / name, ignore_errors=True)


@pytest.fixture
def wheel(jupyter: JupyterServers) -> str:
    """A wheel that no index has, with a module and a program."""
    path = jupyter.root / "nb_greet-1.0-py3-none-any.whl"
    files = {
        "nb_greet.py": "def main(): print('hello')\n",
        "nb_greet-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: nb-greet\nVersion: 1.0\n",
        "nb_greet-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
        "nb_greet-1.0.dist-info/entry_points.txt": "[console_scripts]\nnb-greet = nb_greet:main\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, "nb_greet-1.0.dist-info/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in (files | {"nb_greet-1.0.dist-info/RECORD": record}).items():
            archive.writestr(name, text)
    return str(path)


@contextlib.contextmanager
def kernel(subject: Subject) -> Iterator[Context]:
    """A new kernel."""
    context = Context(subject=subject, now=datetime.datetime.now(datetime.UTC))
    try:
        yield context
    finally:
        context.leave()


def cell(context: Context, code: str) -> Outcome:
    return context.kernel().execute(code, seconds=SECONDS)


def printed(context: Context, code: str) -> str:
    outcome = cell(context, code)
    assert outcome.error is None, outcome
    return outcome.text.strip()


def test_a_package_is_installed_from_a_cell_and_stays(
    subject: Subject, home: Path, wheel: str, jupyter: JupyterServers
) -> None:
    locked = jupyter.root / "env"
    before = sorted(locked.rglob("*"))
    with kernel(subject) as context:
        assert "Successfully installed nb-greet" in printed(context, f"%pip install --no-index {wheel}")
        assert printed(context, "import nb_greet; nb_greet.main()") == "hello"
        assert printed(context, "!nb-greet") == "hello"
        assert printed(context, "!python -c 'import nb_greet, numpy; print(numpy.__name__)'") == "numpy"
        assert "nb-greet 1.0" in " ".join(printed(context, "!pip list").split())
        assert "notebook" in printed(context, "!jupyter --version")
        assert printed(context, "import numpy; print(numpy.__file__)").startswith(str(locked))
    with kernel(subject) as context:
        assert printed(context, "import nb_greet; print(nb_greet.__file__)").startswith(str(home / ".venv"))
    assert sorted(locked.rglob("*")) == before, "the locked environment was changed"
    report = run(subject, "own_packages")
    assert report.passed, failed(report)
    assert report.results[0].detail == f"{home}/.venv: nb-greet 1.0"

    # The one command that resets the layer.
    with kernel(subject) as context:
        printed(context, "!rm -rf ~/.venv")
    with kernel(subject) as context:
        assert cell(context, "import nb_greet").error == (
            "ModuleNotFoundError",
            "No module named 'nb_greet'",
        )


def test_a_package_of_the_user_comes_before_the_locked_one(subject: Subject, home: Path, wheel: str) -> None:
    with kernel(subject) as context:
        printed(context, "1")
        packages = next((home / ".venv").glob("lib/python3*/site-packages"))
        (packages / "matplotlib.py").write_text("__version__ = 'own'\n")
        assert printed(context, "!python -c 'import matplotlib; print(matplotlib.__version__)'") == "own"


def test_another_python_makes_the_layer_again_and_keeps_the_old_one(subject: Subject, home: Path) -> None:
    with kernel(subject) as context:
        printed(context, "1")
    folder = next((home / ".venv/lib").glob("python3*"))
    folder.rename(folder.with_name("python3.2"))
    (home / ".venv-old").mkdir()
    with kernel(subject) as context:
        assert printed(context, "import sys; print(sys.prefix)") == str(home / ".venv")
    assert [path.name for path in (home / ".venv-old/lib").iterdir()] == ["python3.2"]


def test_what_a_power_loss_cut_off_is_finished(subject: Subject, home: Path) -> None:
    with kernel(subject) as context:
        printed(context, "1")
    next((home / ".venv").rglob("notebake.pth")).unlink()
    (home / ".venv/bin/pip").unlink()
    with kernel(subject) as context:
        assert "numpy" in printed(context, "!pip list")


def test_without_a_place_for_the_layer_a_kernel_starts(
    subject: Subject, home: Path, jupyter: JupyterServers
) -> None:
    (home / ".venv").symlink_to("/proc/nowhere")
    with kernel(subject) as context:
        assert printed(context, "import sys; print(sys.prefix)") == str(jupyter.root / "env")
    report = run(subject, "own_packages")
    (home / ".venv").unlink()
    assert set(failed(report)) == {"own_packages"}
