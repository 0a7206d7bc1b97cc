"""Jupyter servers shared by the tests of the probe, and a project's signed images."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import uv
from tests.integration.image_server import ImageServer, Signer, image_server
from tests.integration.jupyter_servers import PASSWORD, TOKEN, JupyterServers, base_python, give

from notebake import paths, process
from notebake.probe.subject import Subject


@pytest.fixture(scope="session")
def jupyter() -> Iterator[JupyterServers]:
    """One virtual environment, from which tests start servers."""
    # Not pytest's temporary folder: other users have no access to it.
    with tempfile.TemporaryDirectory(prefix="notebake-probe-", ignore_cleanup_errors=True) as name:
        root = Path(name)
        root.chmod(0o755)
        (root / "mpl").mkdir()
        # Of the provisioning programs the server imports those below `linux`.
        shutil.copytree(paths.data_folder("cloud-init") / "linux", root / "guest")
        env, tool = root / "env", uv.find_uv_bin()
        python = env / "bin/python"
        process.run([tool, "venv", "--quiet", "--no-project", "--python", base_python(), env], timeout=120)
        install: list[str | Path] = [tool, "pip", "install", "--quiet", "--compile-bytecode"]
        install += ["--python", python]
        process.run([*install, "notebook", "ipykernel", "numpy", "matplotlib", "pip"], timeout=600)
        kernel: list[str | Path] = [python, "-m", "ipykernel", "install", "--prefix", env]
        process.run([*kernel, "--name", "nbserver", "--profile", "nbserver"], timeout=60)
        kernels = env / "share/jupyter/kernels"
        spec = json.loads((kernels / "nbserver/kernel.json").read_text())
        at = spec["argv"].index("--profile")
        for name, words in (
            ("nopylab", ["--profile", "nopylab"]),
            ("numpys", ["--profile", "numpys"]),
            ("plain", []),
        ):
            (kernels / name).mkdir()
            other = spec | {"argv": spec["argv"][:at] + words + spec["argv"][at + 2 :], "display_name": name}
            (kernels / name / "kernel.json").write_text(json.dumps(other))
        # matplotlib's font cache, for all kernels.
        fonts = {"MPLCONFIGDIR": str(root / "mpl")}
        process.run([python, "-c", "import matplotlib.font_manager"], timeout=120, env=fonts)
        give(root / "mpl")
        started = JupyterServers(root=root, python=python)
        try:
            yield started
        finally:
            started.stop()


@pytest.fixture(scope="session")
def servers(jupyter: JupyterServers) -> dict[str, Subject]:
    """A good server, one without authentication, one with a token; started together to save time."""
    off = {"IdentityProvider": {"token": ""}, "PasswordIdentityProvider": {"password_required": False}}
    started = {
        "good": jupyter.start("good"),
        "open": replace(jupyter.start("open", auth=off), password=PASSWORD),
        "token": replace(jupyter.start("token", auth={"IdentityProvider": {"token": TOKEN}}), token=TOKEN),
    }
    return {name: jupyter.ready(subject) for name, subject in started.items()}


@pytest.fixture(scope="session")
def good(servers: dict[str, Subject]) -> Subject:
    return servers["good"]


@pytest.fixture
def signer(tmp_path: Path) -> Iterator[Callable[..., Signer]]:
    """Return a function that makes keys of gpg; its arguments are options of gpg."""
    folders = []

    def make(*gpg: str) -> Signer:
        # A short path: gpg's agent has a socket in it, whose path allows 107 bytes.
        folders.append(Path(tempfile.mkdtemp(prefix="nb-")))
        return Signer(folders[-1], tmp_path, *gpg)

    yield make
    for path in folders:
        process.run(["gpgconf", "--kill", "all"], timeout=60, env={"GNUPGHOME": str(path)})
        shutil.rmtree(path)


@pytest.fixture
def images(tmp_path: Path) -> Iterator[ImageServer]:
    """An empty web site for images."""
    (tmp_path / "site").mkdir()
    with image_server(tmp_path / "site") as server:
        yield server
