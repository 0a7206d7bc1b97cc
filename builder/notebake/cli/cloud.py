"""`notebake launch --on CLOUD`: what is asked and said before anything is created there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from notebake import screen
from notebake.cli import options

if TYPE_CHECKING:
    from notebake.launch import Source

# Options that say something about a machine on this host or on Incus.
_ELSEWHERE = (
    "platform", "vm", "remote", "project", "profiles", "member", "public_port", "memory_mib", "cpus",
    "offline", "accel", "max_age", "url",
)  # fmt: skip


def prepare(
    target: str | None, image: str | None, include_url: str | None, spec_path: Path, disk_gib: int, *,
    count: int, yes: bool, dry_run: bool,
) -> tuple[Source, dict[str, Any]] | None:  # fmt: skip
    """Return what the machines start from in AWS, and where; None when they are not to be made.

    Says what will be created and, without `yes`, asks. Raises SpecError, MissingTool, CommandFailed.
    """
    from click.core import ParameterSource

    from notebake import launch_aws
    from notebake.cli import prompt
    from notebake.errors import SpecError

    context = click.get_current_context()
    for name in _ELSEWHERE:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            (option,) = (each.opts[0] for each in context.command.params if each.name == name)
            raise SpecError(
                f"{option} and --on cannot be used together", "[aws] in notebake.toml has the settings of AWS"
            )
    if target is None:
        raise SpecError("--on needs a TARGET", "for example: notebake launch debian-13 --on aws")
    if image is not None and not image.startswith("ami-"):
        raise SpecError(
            f"--image {image}: with --on aws it is an AMI", "import the image, then: --image ami-..."
        )
    _, plan = options.load(spec_path, target)
    source = launch_aws.source(plan, image, include_url, spec_path.resolve().parent)
    place = launch_aws.find(plan, image, disk_gib)
    screen.echo(place.description(count, source.public_port), err=True)
    if dry_run:
        return None
    if not yes and not prompt.confirm(
        "Create this", hint="--yes creates it without asking, --dry-run only shows it"
    ):
        screen.echo("nothing was created", err=True)
        return None
    return source, {"place": place}
