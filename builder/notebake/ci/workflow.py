"""Workflows for CI services, from the templates beside this module. What they run are notebake's own commands."""

from __future__ import annotations

import tomllib
from importlib.metadata import version
from pathlib import Path, PurePosixPath

from notebake import templates
from notebake.errors import SpecError
from notebake.plan import targets

# Where each service looks for it in a repository.
PATHS = {
    "github": PurePosixPath(".github/workflows/images.yml"),
    "gitlab": PurePosixPath(".gitlab-ci.yml"),
    "azure-pipelines": PurePosixPath("azure-pipelines.yml"),
}


def requirement(*, keyless: bool) -> str:
    """What the workflow's pip installs unless somebody says otherwise: this very release."""
    return f"notebake{'[sigstore]' if keyless else ''}=={version('notebake')}"


def render(service: str, *, wanted: str, keyless: bool) -> bytes:
    """The workflow for one of PATHS; `wanted` is what its pip installs.

    `keyless`: it signs by the identity that the service offers. Raises SpecError where none does.
    """
    if keyless and service == "azure-pipelines":
        raise SpecError(
            "azure-pipelines: offers its jobs no identity that sigstore takes",
            "leave out --keyless: a key signs",
        )
    pins = tomllib.loads((Path(__file__).with_name("actions.toml")).read_text("utf-8"))
    return templates.render(
        f"{service}.yml.j2",
        requirement=wanted,
        keyless=keyless,
        actions={name: f"{row['commit']} # {row['tag']}" for name, row in pins.items()},
        # GitLab's matrix is fixed before a job runs: there, and there alone, the names are written down.
        # Windows is baked from Microsoft's ISO, which a CI has not.
        targets=[item.name for item in targets.all_targets() if not item.is_windows],
    )
