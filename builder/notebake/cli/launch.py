"""`notebake launch`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from notebake.cli import options, selection

if TYPE_CHECKING:
    from notebake.errors import NotebakeError
    from notebake.launch import Source
    from notebake.machines.aws_place import Place

# Options that say something about a machine on this host or on Incus.
_LOCAL_ONLY = (
    "platform", "vm", "remote", "project", "profiles", "member", "public_port", "memory_mib", "cpus",
    "offline", "accel", "max_age", "url",
)  # fmt: skip


def _image(name: str, url: str) -> Path:
    """Return the image file for --image: a path, or a reference to the catalog at `url`."""
    from notebake import paths
    from notebake.catalog.catalog import Catalog, is_reference

    if Path(name).exists() or not is_reference(name):
        return Path(name)
    catalog = Catalog(url)
    return catalog.image(catalog.find(name), paths.cache_folder() / "images")


def _in_cloud(
    target: str | None, image: str | None, include_url: str | None, spec_path: Path, disk_gib: int, *,
    count: int, yes: bool, dry_run: bool,
) -> tuple[Source, Place] | None:  # fmt: skip
    """Return what the machines start from in AWS, and where; None when they are not to be made."""
    from click.core import ParameterSource

    from notebake import launch_aws
    from notebake.cli import prompt
    from notebake.errors import SpecError

    context = click.get_current_context()
    for name in _LOCAL_ONLY:
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
    click.echo(place.description(count, source.public_port), err=True)
    if dry_run:
        return None
    if not yes and not prompt.confirm(
        "Create this", hint="--yes creates it without asking, --dry-run only shows it"
    ):
        click.echo("nothing was created", err=True)
        return None
    return source, place


@click.command("launch")
@click.argument("target", required=False, type=options.TargetName())
@click.option(
    "--image",
    metavar="FILE|TARGET@CHANNEL",
    help="A golden image with its record in the same folder, or a channel or version of the catalog; with "
    "--on aws, the AMI of a golden image of TARGET.",
)
@options.catalog
@options.spec_file
@click.option(
    "--platform",
    type=click.Choice(["qemu", "incus", "nspawn"]),
    default="qemu",
    show_default=True,
    help="Where the machine runs: qemu (any user), incus (a container, or a virtual machine with --vm), or "
    "nspawn (root; only base images that are built here).",
)
@click.option(
    "--on", "cloud", type=click.Choice(["aws"]), help="Launch in this cloud instead, by [aws] of the spec."
)
@click.option(
    "--include",
    "include_url",
    metavar="URL",
    help="Where the machines fetch the large part of user-data, hosted by render --include (--on).",
)
@click.option("--yes", "-y", is_flag=True, help="Do not ask before creating anything in a cloud.")
@click.option("--dry-run", is_flag=True, help="Only say what would be created in the cloud.")
@click.option("--vm", is_flag=True, help="A virtual machine instead of a container (incus; needs KVM).")
@click.option("--remote", help="A remote of the incus client.  [default: the client's default remote]")
@click.option("--project", help="The project on it (incus).  [default: the remote's project]")
@click.option(
    "--profile", "profiles", multiple=True, help="A profile (incus). Can be repeated.  [default: default]"
)
@click.option("--target", "member", metavar="MEMBER", help="The member of the cluster it runs on (incus).")
@click.option("--name", help="Name and host name of the machine.  [default: TARGET-1, TARGET-2, ...]")
@click.option(
    "--port",
    "public_port",
    type=click.IntRange(1, 65535),
    help="Port on this host, or on the remote's (qemu, incus).  "
    "[default: the endpoint's port, or a free one if that is in use]",
)
@click.option(
    "--memory",
    "memory_mib",
    type=click.IntRange(256),
    default=2048,
    show_default=True,
    help="Memory in MiB (qemu, incus).",
)
@click.option(
    "--cpus", type=click.IntRange(1, 64), default=2, show_default=True, help="Processors (qemu, incus)."
)
@click.option(
    "--disk",
    "disk_gib",
    type=click.IntRange(2),
    default=8,
    show_default=True,
    help="Disk size in GiB (qemu, incus, --on).",
)
@click.option("--offline", is_flag=True, help="Block outgoing network access.")
@click.option(
    "--timeout",
    type=click.FloatRange(1),
    default=1200,
    show_default=True,
    help="Seconds to wait for each notebook server.",
)
@click.option("--count", type=click.IntRange(1, 1000), help="Start this many machines: NAME-1, NAME-2, ...")
@click.option(
    "--csv",
    "csv_path",
    metavar="FILE|-",
    help="Write name, URL, fingerprint, token and ssh command as CSV. Only you can read the file.",
)
@options.max_age
@options.accel
@options.as_json
def command(
    target: str | None, image: str | None, url: str, spec_path: Path, platform: Any, cloud: str | None,
    include_url: str | None, yes: bool, dry_run: bool, vm: bool,
    remote: str | None, project: str | None, profiles: tuple[str, ...], member: str | None, name: str | None,
    public_port: int | None, memory_mib: int, cpus: int, disk_gib: int, offline: bool, timeout: float,
    count: int | None, csv_path: str | None, max_age: int, accel: Any, as_json: bool,
) -> int:  # fmt: skip
    """TARGET boots the base image with user-data only; --image boots a golden image. The command waits for
    the notebook server, pins the certificate that the machine prints on its console, and prints the address.

    With --count several machines boot at the same time, as many as the host has processors and free
    memory. If one fails, it is named and the others stay.

    \b
    Examples:
      notebake launch debian-13
      notebake launch --image baked/debian-13.qcow2
      notebake launch --image debian-13@stable
      notebake launch --image debian-13@stable --count 30 --name class --csv class.csv
      notebake launch debian-13 --platform incus     # a container: seconds instead of minutes
      notebake launch debian-13 --platform incus --remote lab --project class --target node2
      notebake launch debian-13 --platform nspawn    # also a container; needs root
      notebake launch debian-13 --on aws --dry-run
      notebake launch debian-13 --on aws --count 30 --name class --yes
    """
    from notebake import launch
    from notebake.cli import handout
    from notebake.errors import SpecError
    from notebake.progress import Steps

    if cloud is None and (yes or dry_run or include_url):
        raise SpecError("--include, --yes and --dry-run are for clouds only", "add --on aws")
    if image is not None and include_url is not None:
        raise SpecError("--image and --include cannot be used together", "an image has all files")
    if cloud is None and (target is None) == (image is None):
        raise SpecError("give either TARGET or --image FILE", "for example: notebake launch debian-13")
    if count is not None and (name is None or public_port is not None):
        raise SpecError(
            "--count needs --name, and cannot be used together with --port",
            "for example: notebake launch debian-13 --count 30 --name class",
        )
    place = {"remote": remote, "project": project, "profiles": profiles, "member": member, "vm": vm}
    if cloud is None and platform != "incus" and any(place.values()):
        raise SpecError(
            "--vm, --remote, --project, --profile and --target are for Incus only", "add --platform incus"
        )
    if csv_path == "-" and as_json:
        raise SpecError("--csv - and --json cannot be used together", "write the CSV to a file: --csv FILE")
    if platform == "incus":
        launch.server(place)  # before an image is fetched or a base is built for it
    steps = Steps()
    settings = {
        "platform": platform, "public_port": public_port, "memory_mib": memory_mib, "cpus": cpus,
        "disk_gib": disk_gib, "offline": offline, "limit": timeout, "accel": accel, **place,
    }  # fmt: skip
    if cloud is not None:
        found = _in_cloud(
            target, image, include_url, spec_path, disk_gib, count=count or 1, yes=yes, dry_run=dry_run
        )
        if found is None:
            return 0
        source, settings["place"] = found
        settings["platform"] = cloud
    elif image is not None:
        source = launch.from_image(_image(image, url), spec_path)
    else:
        _, plan = options.load(spec_path, str(target))
        oldest = datetime.now(UTC) - timedelta(days=max_age)
        source = launch.from_plan(plan, platform, spec_path.resolve().parent, steps, oldest, vm=vm)
    failed: dict[str, NotebakeError] = {}
    if count is None:
        machines = [launch.launch_machine(source, name=name, steps=steps, settings=settings)]
    else:
        done, failed = launch.launch_many(source, name=str(name), count=count, steps=steps, settings=settings)
        machines = list(done.values())
    handout.deliver(machines, csv_path=csv_path, as_json=as_json, several=count is not None)
    return selection.show(failed)
