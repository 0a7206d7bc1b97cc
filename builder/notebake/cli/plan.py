"""`notebake plan`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click

from notebake import screen
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
    "--diff", "show_diff", is_flag=True, help="List the inputs that changed since the image was baked."
)
@options.offline
@options.as_json
def command(
    target: str, spec_path: Path, output: Path, show_diff: bool, offline: bool, as_json: bool
) -> None:
    """\b
    Example:
      notebake plan debian-13 --diff    # why does it have to be baked again?
    """
    from notebake.bake import inputs as bake_inputs
    from notebake.bases import base, releases
    from notebake.provision import files
    from notebake.record import record
    from notebake.render import output as render_output
    from notebake.render import user_data

    _, plan = options.load(spec_path, target)
    payload = files.build(plan)
    sources = releases.read(plan, offline=offline)
    if offline and sources:
        oldest = min(source.read for source in sources)
        screen.echo(f"note: offline: the package sources are those that were read at {oldest}", err=True)
    inputs = bake_inputs.inputs(plan, payload, sources)
    content_id = bake_inputs.identify(inputs)
    changed = bake_inputs.changes(record.load(output / f"{target}.qcow2").inputs, inputs) if show_diff else []
    limits = {
        name: {"bytes": size, "limit": limit, "fits": size <= limit}
        for name, (size, limit) in user_data.sizes(render_output.user_data(plan, payload)).items()
    }
    config = files.config(plan)
    config["password"] = "set" if config["password"] else "none: the machine generates a token"
    image = output / f"{target}.qcow2"
    current = record.is_current(image, content_id)
    baked = image.is_file() and record.path_for(image).exists()
    reasons = bake_inputs.reasons(record.load(image).inputs, inputs, sources) if baked else []
    result = {
        "target": target,
        "content_id": content_id,
        "image_is_current": current,
        "reasons": reasons,
        "base": {"origin": base.origin(plan), "date": base.date(plan)},
        "sources": [dataclasses.asdict(source) for source in sources],
        "packages": [line.split(" ", 1)[0] for line in plan.lock.lines],
        "user_data": limits,
        "guest": config,
    }
    if show_diff:
        result["changes"] = [dataclasses.asdict(change) for change in changed]
    if as_json:
        screen.echo(json.dumps(result, indent=2))
        return
    if show_diff:
        for change in changed:
            screen.echo(f"{change.how:<8} {change.name}")
        if not changed:
            screen.echo("no input has changed since the image was baked")
        return
    screen.echo(f"target       {target} ({plan.target.title})")
    state = "image is up to date" if current else "; ".join(("bake required", *reasons))
    screen.echo(f"content id   {content_id[:12]}, {state}")
    made = base.date(plan)
    screen.echo(f"base         {base.origin(plan)}{f', of {made}' if made else ''}")
    if sources:
        dates = (f"{source.name} of {source.date[:10]}" for source in sources)
        screen.echo(f"sources      {', '.join(dates)}")
    screen.echo(
        f"packages     {', '.join(plan.spec.python_packages)}; {len(plan.lock.lines)} including dependencies"
    )
    screen.echo(
        f"server       port {config['port']}, user {plan.spec.user}, folder {config['folder']}, "
        f"profile {config['profile']}, password {config['password']}"
    )
    allowed = f"port {config['port']}" if plan.target.is_windows else f"ssh and port {config['port']}"
    kept = "" if plan.spec.notebook.metadata else "; keeps the cloud's metadata service from kernels"
    screen.echo(f"firewall     {plan.target.firewall}: allows {allowed}{kept}")
    updates = plan.spec.updates
    reboots = f"reboots at {updates.reboot}, if one waits for that" if updates.reboot else "no reboots"
    screen.echo(f"updates      {updates.automatic}, {reboots}")
    for name, row in limits.items():
        too_large = "" if row["fits"] else ": TOO LARGE"
        screen.echo(f"user-data    {row['bytes']:,} of {row['limit']:,} bytes on {name}{too_large}")
