"""Jupyter servers shared by the tests of the probe."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import uv
from tests.integration.jupyter_servers import PASSWORD, TOKEN, JupyterServers, base_python, give

from notebake import process
from notebake.probe.subject import Subject


@pytest.fixture(scope="session")
def jupyter() -> Iterator[JupyterServers]:
    """One virtual environment, from which tests start servers."""
    # Not pytest's temporary folder: other users have no access to it.
    with tempfile.TemporaryDirectory(prefix="notebake-probe-", ignore_cleanup_errors=True) as name:
        root = Path(name)
        root.chmod(0o755)
        (root / "mpl").mkdir()
        env, tool = root / "env", uv.find_uv_bin()
        python = env / "bin/python"
        process.run([tool, "venv", "--quiet", "--no-project", "--python", base_python(), env], timeout=120)
        install: list[str | Path] = [tool, "pip", "install", "--quiet", "--compile-bytecode"]
        install += ["--python", python]
        process.run([*install, "notebook", "ipykernel", "numpy", "matplotlib"], timeout=600)
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
