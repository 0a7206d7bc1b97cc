"""Render the workflows for CI services from the templates in this folder."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from notebake import documents, templates
from notebake.ci import source
from notebake.errors import SpecError
from notebake.plan import targets
from notebake.plan.spec import Spec

# The file in a repository that each service reads.
PATHS = {
    "github": PurePosixPath(".github/workflows/images.yml"),
    "gitlab": PurePosixPath(".gitlab-ci.yml"),
    "azure-pipelines": PurePosixPath("azure-pipelines.yml"),
}

# The scanner that reads the release and the source package from an SBOM; built by Go, which CI's images have.
_SCANNER = "github.com/anchore/grype/cmd/grype@v0.121.2"


def render(
    service: str,
    spec: Spec,
    *,
    spec_path: str,
    requirement: str | None,
    index: str | None = None,
    catalog: str = "catalog",
    auth: str | None = None,
    keyless: bool = False,
    max_severity: str | None = None,
    command: str,
) -> bytes:
    """Return the workflow for `service`, one of PATHS.

    `spec_path`: the spec's path in the repository. `requirement`, `index`, `catalog` and `auth` as in
    `source`. `keyless`: sign with the identity that the service gives a job. `max_severity`: scan each image
    and refuse vulnerabilities above. `command`: what wrote the workflow, for readers. Raises SpecError.
    """
    if service == "azure-pipelines" and keyless:
        raise SpecError(
            "azure-pipelines: its jobs have no identity that sigstore accepts",
            "omit --keyless to sign with a key",
        )
    if service == "azure-pipelines" and auth in ("aws", "gcp"):
        raise SpecError(
            f"azure-pipelines: --auth {auth}: not supported",
            "use --auth azure with a catalog at az://, or leave it out and give the agent access",
        )
    where = source.catalog(catalog)
    source.check_auth(auth, where)
    source.check_index(index)
    extras = {extra for extra in (where.extra, "sigstore" if keyless else None) if extra}
    # Windows needs Microsoft's ISO, which CI does not have.
    baked = [target.name for target in targets.chosen(spec.targets) if not target.is_windows]
    if not baked:
        raise SpecError(
            f"{spec_path}: targets: no target that a workflow can bake: Windows needs Microsoft's ISO",
            'name another one, for example targets = ["debian-13"]',
        )
    pins = documents.load_toml(Path(__file__).with_name("actions.toml"))
    return templates.render(
        f"{service}.yml.j2",
        requirement=source.requirement(requirement, index, extras),
        index=index,
        catalog=where.url,
        extra=where.extra,
        local=where.extra is None,
        auth=auth,
        keyless=keyless,
        max_severity=max_severity,
        scanner=_SCANNER,
        gate=f" --vulnerabilities vulnerabilities.json --max-severity {max_severity}" if max_severity else "",
        password=spec.notebook.password is not None,
        spec=source.path_in_repository(spec_path),
        command=command,
        actions={name: f"{pin['commit']} # {pin['tag']}" for name, pin in pins.items()},
        # Only for GitLab, whose matrix must be known before a job runs.
        targets=baked,
    )
