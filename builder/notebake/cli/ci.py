"""`notebake ci`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("ci")
@click.argument("service", type=click.Choice(["github", "gitlab", "azure-pipelines"]))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write.  [default: the file that SERVICE reads]",
)
@click.option("--requirement", help="pip requirement to install notebake.  [default: this release]")
@click.option("--keyless", is_flag=True, help="Sign with the CI job's identity (sigstore) instead of a key.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
def command(service: str, output: Path | None, requirement: str | None, keyless: bool, force: bool) -> None:
    """The workflow renders on every change. On the main branch and weekly it bakes, probes, signs and
    promotes.

    \b
    Examples:
      notebake ci github
      notebake ci gitlab --keyless
      notebake ci github --requirement 'notebake[s3] @ git+https://git.example/notebake' --force
    """
    from notebake.ci import workflow
    from notebake.errors import SpecError
    from notebake.files import write_whole

    if (requirement and not requirement.isprintable()) or (requirement and set(requirement) & set('"\\$`')):
        raise SpecError(
            "--requirement: must not contain quotes, backslashes, `$`, backticks or control codes"
        )
    path = output or Path(workflow.PATHS[service])
    text = workflow.render(
        service, requirement=requirement or workflow.default_requirement(keyless=keyless), keyless=keyless
    )
    if path.exists() and not force and path.read_bytes() != text:
        raise SpecError(f"{path}: already exists and differs", "use --force to replace it")
    write_whole(path, text)
    click.echo(f"wrote {path}; the comment at its top lists the required settings")
