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
    help="File to write.  [default: where SERVICE looks for it]",
)
@click.option("--requirement", help="What the workflow's pip installs.  [default: this release of notebake]")
@click.option("--keyless", is_flag=True, help="Sign by the service's identity (sigstore), not by a key.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def command(service: str, output: Path | None, requirement: str | None, keyless: bool, force: bool) -> None:
    """Write the workflow for SERVICE: render on every change; bake, probe, sign and promote on main and weekly.

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
        raise SpecError("--requirement: quotes, backslashes, `$` and backticks do not go into a workflow")
    path = output or Path(workflow.PATHS[service])
    made = workflow.render(
        service, wanted=requirement or workflow.requirement(keyless=keyless), keyless=keyless
    )
    if path.exists() and not force and path.read_bytes() != made:
        raise SpecError(f"{path}: is there already, and different", "--force replaces it")
    write_whole(path, made)
    click.echo(f"wrote {path}; its head says what it needs")
