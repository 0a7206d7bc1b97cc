"""`notebake plan`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click

from notebake.cli import options


@click.command("plan")
@click.argument("target", type=options.TargetName())
@options.spec_file
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("baked"),
    show_default=True,
    help="Folder with the baked image.",
)
@click.option(
    "--diff", "show_diff", is_flag=True, help="Name each input that changed since that image was baked."
)
@options.as_json
def command(target: str, spec_path: Path, output: Path, show_diff: bool, as_json: bool) -> None:
    """Show what TARGET would be made of, and whether its image in OUTPUT is current.

    \b
    Example:
      notebake plan debian-13 --diff    # why is it to be baked again?
    """
    from notebake.bake import inputs as bake_inputs
    from notebake.provision import files
    from notebake.record import record
    from notebake.render import output as render_output
    from notebake.render import user_data

    _, plan = options.load(spec_path, target)
    payload = files.build(plan)
    inputs = bake_inputs.inputs(plan, payload)
    identity = bake_inputs.identify(inputs)
    changed = bake_inputs.changes(record.load(output / f"{target}.qcow2").inputs, inputs) if show_diff else []
    limits = {
        name: {"bytes": size, "limit": limit, "fits": size <= limit}
        for name, (size, limit) in user_data.sizes(render_output.user_data(plan, payload)).items()
    }
    config = files.config(plan)
    config["password"] = "set" if config["password"] else "none: a token is made on the machine"
    found = {
        "target": target,
        "content_id": identity,
        "image_is_current": record.is_current(output / f"{target}.qcow2", identity),
        "packages": [line.split(" ", 1)[0] for line in plan.lock.lines],
        "user_data": limits,
        "guest": config,
    }
    if show_diff:
        found["changes"] = [dataclasses.asdict(item) for item in changed]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    if show_diff:
        for item in changed:
            click.echo(f"{item.how:<8} {item.name}")
        if not changed:
            click.echo("nothing changed since the image was baked")
        return
    click.echo(f"target       {target} ({plan.target.title})")
    click.echo(
        f"content id   {identity[:12]}{', image is current' if found['image_is_current'] else ', to be baked'}"
    )
    click.echo(f"packages     {', '.join(plan.spec.packages)}; {len(plan.lock.lines)} with what they need")
    click.echo(
        f"server       port {config['port']}, user {plan.spec.user}, folder {config['folder']}, "
        f"profile {config['profile']}, password {config['password']}"
    )
    lets_in = f"{config['port']} comes" if plan.target.is_windows else f"ssh and {config['port']} come"
    click.echo(f"firewall     {plan.target.firewall}: {lets_in} in")
    for name, row in limits.items():
        click.echo(
            f"user-data    {row['bytes']:,} of {row['limit']:,} bytes on {name}{'' if row['fits'] else ': TOO LARGE'}"
        )
