"""The Jupyter servers that the tests of the probe share."""

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
    # Not pytest's own folder: that one is closed to other users.
    with tempfile.TemporaryDirectory(prefix="notebake-probe-", ignore_cleanup_errors=True) as name:
        root = Path(name)
        root.chmod(0o755)
        (root / "mpl").mkdir()
        env, tool = root / "env", uv.find_uv_bin()
        python = env / "bin/python"
        process.run([tool, "venv", "--quiet", "--no-project", "--python", base_python(), env], timeout=120)
        process.run(
            [tool, "pip", "install", "--quiet", "--compile-bytecode", "--python", python,
             "notebook", "ipykernel", "numpy", "matplotlib"],
            timeout=600,
        )  # fmt: skip
        process.run(
            [
                python,
                "-m",
                "ipykernel",
                "install",
                "--prefix",
                env,
                "--name",
                "nbserver",
                "--profile",
                "nbserver",
            ],
            timeout=60,
        )
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
        # matplotlib's list of fonts, made once for all kernels.
        fonts = {"MPLCONFIGDIR": str(root / "mpl")}
        process.run([python, "-c", "import matplotlib.font_manager"], timeout=120, env=fonts)
        give(root / "mpl")
        made = JupyterServers(root=root, python=python)
        try:
            yield made
        finally:
            made.stop()


@pytest.fixture(scope="session")
def servers(jupyter: JupyterServers) -> dict[str, Subject]:
    """All servers, started together: most of the time they take is waiting."""
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
