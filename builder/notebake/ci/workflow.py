"""Render the workflows for CI services from the templates in this folder."""

from __future__ import annotations

import tomllib
from importlib.metadata import version
from pathlib import Path, PurePosixPath

from notebake import templates
from notebake.errors import SpecError
from notebake.plan import targets

# The file in a repository that each service reads.
PATHS = {
    "github": PurePosixPath(".github/workflows/images.yml"),
    "gitlab": PurePosixPath(".gitlab-ci.yml"),
    "azure-pipelines": PurePosixPath("azure-pipelines.yml"),
}


def default_requirement(*, keyless: bool) -> str:
    """Return the pip requirement of this release of notebake."""
    return f"notebake{'[sigstore]' if keyless else ''}=={version('notebake')}"


def render(service: str, *, requirement: str, keyless: bool) -> bytes:
    """Return the workflow for `service`, one of PATHS. `requirement`: pip requirement to install notebake.

    `keyless`: sign with the identity that the service gives a job. Raises SpecError if it gives none.
    """
    if keyless and service == "azure-pipelines":
        raise SpecError(
            "azure-pipelines: its jobs have no identity that sigstore accepts",
            "omit --keyless to sign with a key",
        )
    pins = tomllib.loads((Path(__file__).with_name("actions.toml")).read_text("utf-8"))
    return templates.render(
        f"{service}.yml.j2",
        requirement=requirement,
        keyless=keyless,
        actions={name: f"{pin['commit']} # {pin['tag']}" for name, pin in pins.items()},
        # Only for GitLab, whose matrix must be known before a job runs. Windows needs Microsoft's ISO, which
        # CI does not have.
        targets=[target.name for target in targets.all_targets() if not target.is_windows],
    )
