"""`notebake launch`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from notebake.cli import opening, options, selection

if TYPE_CHECKING:
    from collections.abc import Callable

    from notebake.catalog.catalog import Catalog
    from notebake.errors import NotebakeError


@click.command("launch")
@click.argument("target", required=False, type=options.TargetName())
@click.option(
    "--image",
    metavar="FILE|TARGET@CHANNEL",
    help="A golden image with its record in the same folder, or a channel or version of the catalog; with "
    "--on aws, the AMI of a golden image of TARGET.",
)
@opening.reader
@options.spec_file
@click.option(
    "--platform",
    type=click.Choice(["qemu", "incus"]),
    help="Where the machine runs: incus (a container, or a virtual machine with --vm) or qemu (its own disk, "
    "kernel and boot loader; needs no daemon).  [default: incus if it can be used, else qemu]",
)
@click.option("--on", type=click.Choice(["aws"]), help="Launch in this cloud instead, by [aws] of the spec.")
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
    type=click.IntRange(256, 1 << 24),
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
    type=click.IntRange(2, 1 << 16),
    default=8,
    show_default=True,
    help="Disk size in GiB (qemu, incus, --on).",
)
@click.option("--offline", is_flag=True, help="Block outgoing network access.")
@click.option(
    "--timeout",
    type=options.Number(1, options.MAX_SECONDS),
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
    target: str | None, image: str | None, opened: Callable[[], Catalog], spec_path: Path,
    platform: Any, on: str | None, include_url: str | None, yes: bool, dry_run: bool, vm: bool,
    remote: str | None, project: str | None, profiles: tuple[str, ...], member: str | None, name: str | None,
    public_port: int | None, memory_mib: int, cpus: int, disk_gib: int, offline: bool, timeout: float,
    count: int | None, csv_path: str | None, max_age: int, accel: Any, as_json: bool,
) -> int:  # fmt: skip
    """TARGET boots the base image with user-data only; --image boots a golden image. The command waits for
    the notebook server, pins the certificate that the machine prints on its console, and prints the address.

    Of an image in the catalog, signatures and every byte of the disk are verified first: see `notebake
    catalog trust`.

    With --count several machines boot at the same time, as many as the host has processors and free
    memory. If one fails, it is named and the others stay.

    \b
    Examples:
      notebake launch debian-13
      notebake launch --image baked/debian-13.qcow2
      notebake launch --image debian-13@stable
      notebake launch --image debian-13@stable --count 30 --name class --csv class.csv
      notebake launch debian-13 --platform qemu      # a virtual machine, also where Incus can be used
      notebake launch debian-13 --remote lab --project class --target node2
      notebake launch debian-13 --on aws --dry-run
      notebake launch debian-13 --on aws --count 30 --name class --yes
    """
    from notebake import launch
    from notebake.cli import cloud, handout
    from notebake.errors import SpecError
    from notebake.progress import Steps

    if on is None and (yes or dry_run or include_url):
        raise SpecError("--include, --yes and --dry-run are for clouds only", "add --on aws")
    if image is not None and include_url is not None:
        raise SpecError("--image and --include cannot be used together", "an image has all files")
    if on is None and (target is None) == (image is None):
        raise SpecError("give either TARGET or --image FILE", "for example: notebake launch debian-13")
    if count is not None and (name is None or public_port is not None):
        raise SpecError(
            "--count needs --name, and cannot be used together with --port",
            "for example: notebake launch debian-13 --count 30 --name class",
        )
    place = {"remote": remote, "project": project, "profiles": profiles, "member": member, "vm": vm}
    if on is None and any(place.values()):
        if platform == "qemu":
            raise SpecError(
                "--vm, --remote, --project, --profile and --target are for Incus only", "leave out --platform"
            )
        platform = "incus"
    if csv_path == "-" and as_json:
        raise SpecError("--csv - and --json cannot be used together", "write the CSV to a file: --csv FILE")
    steps = Steps()
    if on is not None:
        found = cloud.prepare(
            target, image, include_url, spec_path, disk_gib, count=count or 1, yes=yes, dry_run=dry_run
        )
        if found is None:
            return 0
        platform, (source, place) = on, found
    else:
        plan = None if target is None else options.load(spec_path, target)[1]
        # Before an image is fetched or a base is built for it.
        if platform is None:
            platform = launch.choose_platform(plan, steps) if accel == "auto" else "qemu"
        elif platform == "incus":
            launch.server(place)
        if plan is None:
            from notebake.catalog import reference

            source = launch.from_image(reference.image(str(image), opened), spec_path)
        else:
            oldest = datetime.now(UTC) - timedelta(days=max_age)
            source = launch.from_plan(plan, platform, spec_path.resolve().parent, steps, oldest, vm=vm)
    settings = {
        "platform": platform, "public_port": public_port, "memory_mib": memory_mib, "cpus": cpus,
        "disk_gib": disk_gib, "offline": offline, "limit": timeout, "accel": accel, **place,
    }  # fmt: skip
    failed: dict[str, NotebakeError] = {}
    if count is None:
        machines = [launch.launch_machine(source, name=name, steps=steps, settings=settings)]
    else:
        done, failed = launch.launch_many(source, name=str(name), count=count, steps=steps, settings=settings)
        machines = list(done.values())
    handout.deliver(machines, csv_path=csv_path, as_json=as_json, several=count is not None)
    return selection.show(failed)
