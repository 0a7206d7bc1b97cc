"""`notebake ci`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from notebake import screen
from notebake.cli import options


@click.command("ci")
@click.argument("service", type=click.Choice(["github", "gitlab", "azure-pipelines"]))
@options.spec_file
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write.  [default: the file that SERVICE reads]",
)
@click.option(
    "--requirement",
    help="Required: what the jobs install notebake from: a git+https URL with a full commit id, a wheel's "
    "https or file URL with #sha256=, or notebake==X with --index.",
)
@click.option("--index", metavar="URL", help="Python index that has notebake==X and what it depends on.")
@click.option(
    "--catalog",
    default="catalog",
    show_default=True,
    metavar="URL",
    help="The catalog: s3://, gs://, az://, sftp://. A folder is lost with the runner, so each run uploads "
    "it as an artifact.",
)
@click.option(
    "--auth",
    type=click.Choice(["aws", "gcp", "azure"]),
    help="Log in to the catalog's storage with the CI job's identity (OIDC): no stored secret.",
)
@click.option("--keyless", is_flag=True, help="Sign with the CI job's identity (sigstore) instead of a key.")
@click.option(
    "--max-severity",
    type=options.SEVERITY,
    help="Scan each image with grype, and refuse known vulnerabilities above.  [default: no scan]",
)
@click.option("--force", is_flag=True, help="Replace an existing file.")
def command(
    service: str,
    spec_path: Path,
    output: Path | None,
    requirement: str | None,
    index: str | None,
    catalog: str,
    auth: str | None,
    keyless: bool,
    max_severity: str | None,
    force: bool,
) -> None:
    """The workflow renders the spec's `targets` on every change. On the main branch and weekly it bakes,
    probes, signs and promotes those that are not up to date. Run this in the repository's top folder.

    \b
    Examples:
      notebake ci github --requirement git+https://HOST/OWNER/notebake@COMMIT
      notebake ci gitlab --requirement notebake==0.1.0 --index https://HOST/simple --keyless
      notebake ci github --requirement https://HOST/notebake-0.1.0-py3-none-any.whl#sha256=DIGEST \\
        --catalog s3://my-bucket/images --auth aws
    """
    from notebake.ci import workflow
    from notebake.errors import SpecError
    from notebake.files import write_whole
    from notebake.plan import spec

    path = output or Path(workflow.PATHS[service])
    given = {
        "--spec": str(spec_path) if spec_path != Path(spec.FILE_NAME) else None,
        "--output": str(output) if output else None,
        "--requirement": requirement,
        "--index": index,
        "--catalog": catalog if catalog != "catalog" else None,
        "--auth": auth,
        "--max-severity": max_severity,
    }
    words = [word for name, value in given.items() if value for word in (name, value)]
    text = workflow.render(
        service,
        spec.load(spec_path),
        spec_path=spec_path.as_posix(),
        requirement=requirement,
        index=index,
        catalog=catalog,
        auth=auth,
        keyless=keyless,
        max_severity=max_severity,
        command=shlex.join(
            ["notebake", "ci", service, *words, *(["--keyless"] if keyless else []), "--force"]
        ),
    )
    if path.exists() and not force and path.read_bytes() != text:
        raise SpecError(f"{path}: already exists and differs", "use --force to replace it")
    write_whole(path, text)
    screen.echo(f"wrote {path}; the comment at its top lists the required settings")
    if catalog == "catalog":
        screen.echo(
            "note: no --catalog: each run uploads its own as an artifact, and keeps no versions", err=True
        )
    elif "://" in catalog and auth is None:
        screen.echo("note: no --auth: the runner itself must have access to the catalog", err=True)
