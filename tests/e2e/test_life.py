"""A day with a machine: install, export, plot in Japanese, use a GPU, run out of memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.conftest import SPEC, context_of, printed
from tests.e2e.test_incus import Notebake, command, ended
from tests.incus import Incus

from notebake.errors import CheckFailed
from notebake.plan import preload
from notebake.probe.context import Context

pytestmark = pytest.mark.usefixtures("base_root")

LIMIT = 300.0
LIFE = f"""\
extras = ["science"]
{SPEC}
export = ["pdf"]
preload = ["examples"]
[image]
fonts = ["cjk"]
"""
TOOLS = ("git", "curl", "less", "nano", "unzip", "pip", "python", "jupyter")


@pytest.fixture(scope="module")
def notebake(tmp_path_factory: pytest.TempPathFactory) -> Notebake:
    folder = tmp_path_factory.mktemp("life")
    return lambda *args, **how: ended(command(folder, *args, spec=LIFE), **how)


@pytest.fixture(scope="module")
def machine(incus: Incus, notebake: Notebake) -> Iterator[Context]:
    """A machine with all of it, by user-data only."""
    notebake("lock", "debian-13")
    launch = ("launch", "debian-13", "--platform", "incus", "--name", "life", "--memory", "1800")
    # It installs TeX.
    notebake(*launch, "--timeout", "1800", seconds=1800)
    context = context_of("life")
    yield context
    context.leave()
    notebake("delete", "--yes", "life")


def test_the_tools_are_there_and_a_package_can_be_installed(machine: Context) -> None:
    assert (
        printed(machine, f"import shutil; print([name for name in {TOOLS} if not shutil.which(name)])")
        == "[]"
    )
    assert "Successfully installed" in printed(machine, "%pip install --no-deps cowsay")
    assert printed(machine, "import cowsay, sys; print(cowsay.__file__.startswith(sys.prefix))") == "True"
    # As in a terminal of Jupyter.
    listed = machine.output("sudo", "-n", "-iu", "azureuser", "pip", "list")
    assert {"cowsay", "numpy"} <= set(listed.split())
    folders = ("/home/azureuser/.venv", "/opt/notebake/env/bin")
    assert machine.output("sudo", "-n", "stat", "-c", "%U", *folders).split() == ["azureuser", "root"]


def test_every_example_runs(machine: Context) -> None:
    folder = Path(preload.__file__).with_name(preload.EXAMPLES)
    for file in sorted(folder.glob("*.ipynb")):
        session = machine.session()
        assert session.request("GET", f"/api/contents/{file.name}", seconds=LIMIT).status == 200
        machine.leave()
        for cell in json.loads(file.read_text())["cells"]:
            if cell["cell_type"] == "code":
                outcome = machine.kernel().execute("".join(cell["source"]), seconds=LIMIT)
                assert outcome.error is None, (file.name, cell["source"], outcome.error)


def test_the_extra_is_locked(machine: Context) -> None:
    assert (
        printed(machine, "import ipympl, networkx, openpyxl, pyarrow, sklearn, sympy; print('all')") == "all"
    )


def test_a_title_in_three_languages_has_no_missing_glyph(machine: Context) -> None:
    code = (
        "import warnings; warnings.filterwarnings('error', 'Glyph')\n"
        "plot(randn(50)); title('\\u9332\\u97f3 \\u5f55\\u97f3 \\ub179\\uc74c'); _ = gcf().canvas.draw()"
    )
    assert printed(machine, code) == ""


def test_new_fonts_are_found_by_the_next_kernel(machine: Context) -> None:
    make = (
        "from fontTools.ttLib import TTFont; import matplotlib\n"
        "font = TTFont(matplotlib.get_data_path() + '/fonts/ttf/DejaVuSans.ttf')\n"
        "[font['name'].setName('Own', number, 3, 1, 0x409) for number in (1, 4, 16)]\n"
        "font.save('Own.ttf')"
    )
    printed(machine, make)
    # As a package installs it: the user's file is not for all.
    own = ("/home/azureuser/notebooks/Own.ttf", "/usr/share/fonts/Own.ttf")
    machine.output("sudo", "-n", "install", "-m", "644", *own)
    # As apt does after each call.
    machine.output("sudo", "-n", "systemctl", "reload", "notebake-notebook.service")
    machine.leave()
    families = "from matplotlib import font_manager; print('Own' in font_manager.get_font_names())"
    assert printed(machine, families) == "True"


def test_pdf_is_exported_and_what_cannot_work_is_hidden(machine: Context) -> None:
    cell = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": "1 + 1"}
    text = {
        "cell_type": "markdown",
        "metadata": {},
        "source": "# A *title*\n\n$a^2$\n\n| a | b |\n|---|---|\n| 1 | 2 |",
    }
    content = {"cells": [text, cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 4}
    session = machine.session()
    model = {"type": "notebook", "content": content}
    assert session.request("PUT", "/api/contents/a.ipynb", seconds=LIMIT, data=model).status == 201
    exporters = session.request("GET", "/api/nbconvert", seconds=LIMIT).json("exporters")
    assert "pdf" in exporters and not {"webpdf", "qtpdf", "qtpng"} & set(exporters)
    for name in exporters:
        if name not in ("custom", "notebook"):
            path = f"/nbconvert/{name}/a.ipynb?download=true&_xsrf={session.cookies['_xsrf']}"
            answer = session.request("GET", path, seconds=LIMIT)
            assert answer.status == 200, (name, answer.body[-800:])
            assert name != "pdf" or answer.body.startswith(b"%PDF")


def test_a_gpu_reaches_kernels(machine: Context, incus: Incus) -> None:
    """A stand-in: another name for /dev/zero."""
    device = ("unix-char", "source=/dev/zero", "path=/dev/nvidia0", "mode=0666")
    incus.client("config", "device", "add", "life", "gpu", *device)
    assert printed(machine, "print(open('/dev/nvidia0', 'rb').read(2))") == "b'\\x00\\x00'"


def test_a_kernel_that_eats_the_memory_ends_and_nothing_else(machine: Context) -> None:
    other = Context(subject=machine.subject, now=machine.now)
    printed(other, "x = 42")
    eat = "found = []\nwhile True: found.append(bytearray(b'x') * 50_000_000)"
    with pytest.raises(CheckFailed, match="the kernel died"):
        machine.kernel().execute(eat, seconds=LIMIT)
    assert printed(other, "print(x)") == "42"
    other.leave()
