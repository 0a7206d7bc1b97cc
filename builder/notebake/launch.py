"""From a plan or a golden image to a running machine: its seed, its disk or root file system, its user.

`notebake.machines` knows platforms but no specs; this module knows both.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from notebake.bases import base
from notebake.errors import MissingTool, NotebakeError, SpecError
from notebake.machines import aws_place, incus_client, incus_create, lifecycle, many, reserve
from notebake.machines.machine import Machine, Platform
from notebake.machines.request import Request
from notebake.machines.reserve import Prepared
from notebake.machines.wait import Watch
from notebake.plan import own_certificate, spec, targets
from notebake.plan.plan import Plan
from notebake.progress import Steps
from notebake.provision import files
from notebake.record import record
from notebake.render import nocloud, output
from notebake.render.user_data import with_hostname

# Where identity.py on the machine waits for the key of the user's own certificate.
OWN_KEY = "/var/lib/notebake/own/key.pem"


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a machine starts from.

    `own_certificate`: the machine serves the user's own one. `own_key` is its private key (PEM), to be copied
    over ssh. `metadata`: its kernels can reach a cloud's metadata service. `sudo`: they can become root.
    """

    target: str
    source: str
    admin: str
    port: int
    public_port: int
    user_data: bytes
    identity: str
    disk: Path | None = None
    root: Path | None = None
    sha256: str | None = None
    base_url: str = "/"
    own_certificate: bool = False
    metadata: bool = False
    sudo: bool = False
    own_key: bytes | None = None


def choose_platform(plan: Plan | None, steps: Steps) -> Platform:
    """Return `incus` if it can run containers for this user, else `qemu`, and show why.

    `plan`: that of a machine with user-data only, None for a golden image.
    """
    try:
        incus_client.describe(server({}).remote)
        # A base that is made on this host is a container's root filesystem already.
        if os.geteuid() != 0 and (plan is None or not isinstance(plan.target.base, targets.Mmdebstrap)):
            raise MissingTool("Incus: only root can make a container of a disk", "use sudo")
    except NotebakeError as error:
        steps.note(f"runs on QEMU. {error.message}; a container starts in seconds: {error.hint}")
        return "qemu"
    return "incus"


def from_plan(
    made: Plan,
    platform: str,
    folder: Path,
    steps: Steps,
    oldest: datetime | None = None,
    *,
    vm: bool = False,
) -> Source:
    """Return the base image with user-data only, building or downloading it first if needed.

    `folder` is the spec's; `vm`: a virtual machine of Incus. A Debian base made before `oldest` is made
    again. Raises SpecError for Windows.
    """
    if made.target.is_windows:
        raise SpecError(
            f"target {made.target.name}: notebake cannot launch Windows",
            "`notebake render` writes the user-data for QEMU and clouds, `notebake bake` makes an image",
        )
    with tempfile.NamedTemporaryFile(prefix="notebake-base-", suffix=".log", delete=False) as log:
        path = Path(log.name)
    # Incus makes a container of a published disk too.
    container = platform == "incus" and not vm and isinstance(made.target.base, targets.Mmdebstrap)
    if container:
        disk, root = None, base.root(made, steps, path, oldest)
    else:
        disk, root = base.disk(made, steps, path, oldest), None
    path.unlink()  # kept after a failure, when the error names it
    payload = files.build(made)
    return Source(
        target=made.target.name,
        source="user-data",
        admin=made.admin,
        port=made.spec.notebook.port,
        base_url=made.spec.notebook.base_url,
        public_port=made.spec.endpoint.public_port,
        user_data=output.user_data(made, payload).seed,
        identity=payload.digest[:12],
        disk=disk,
        root=root,
        own_certificate=made.own_certificate is not None,
        metadata=made.spec.notebook.metadata,
        sudo=made.spec.notebook.sudo,
        own_key=own_certificate.read_key(made.spec, folder),
    )


def from_image(image: Path, spec_path: Path) -> Source:
    """Return a golden image, by the record beside it.

    The spec is read only for the key of the user's own certificate. Raises SpecError for a missing image or
    one that does not match its record, RecordError without a record.
    """
    known = record.verified(image)
    if targets.get(known.target).is_windows:
        raise SpecError(
            f"{image}: notebake cannot launch Windows images",
            "start it on your own QEMU with OVMF, or upload it; then: notebake probe ADDRESS",
        )
    machine = known.machine
    key = None
    if machine.own_certificate:
        key = own_certificate.read_key(spec.load(spec_path), spec_path.resolve().parent)
    return Source(
        target=known.target,
        source=str(image.resolve()),
        admin=machine.admin,
        port=machine.port,
        base_url=machine.base_url,
        public_port=machine.public_port,
        user_data=b"#cloud-config\n{}\n",
        identity=known.content_id[:12],
        disk=image.resolve(),
        sha256=known.image.sha256,
        own_certificate=machine.own_certificate,
        metadata=machine.metadata,
        sudo=machine.sudo,
        own_key=key,
    )


def server(settings: dict[str, Any]) -> incus_client.Server:
    """Return the daemon of Incus for these settings. Raises SpecError, MissingTool or CommandFailed."""
    return incus_client.server(settings.get("remote"), settings.get("project"))


def launch_machine(
    source: Source,
    *,
    name: str | None,
    steps: Steps,
    settings: dict[str, Any],
    watch: type[Watch] = Watch,
) -> Machine:
    """Start a machine from `source` and wait for its notebook.

    `settings` go into Request; `watch` does the waiting. Raises what lifecycle.launch raises.
    """
    taken: Collection[str] = ()
    if name is None and settings["platform"] == "incus":
        taken = incus_create.names(server(settings))
    elif name is None and settings["platform"] == "aws":
        taken = settings["place"].names
    return _launch(source, reserve.prepare(source.target, name, taken), settings, steps, watch)


def launch_many(
    source: Source, *, name: str, count: int, steps: Steps, settings: dict[str, Any]
) -> tuple[dict[str, Machine], dict[str, NotebakeError]]:
    """Start the machines `name`-1, `name`-2 ... from `source` and wait for their notebooks, several at once.

    Return those that answer, and the errors of the others, by name. Raises SpecError, with nothing started,
    when one of the names is taken.
    """
    prepared: dict[str, Prepared] = {}
    try:
        for number in range(1, count + 1):
            one = reserve.prepare(source.target, f"{name}-{number}")
            prepared[one.name] = one
        if settings["platform"] == "incus":
            incus_create.check_names(prepared, server(settings))
        elif settings["platform"] == "aws":
            aws_place.check_names(prepared, settings["place"])
        return many.each(
            list(prepared),
            lambda name, steps, watch: _launch(source, prepared[name], settings, steps, watch),
            title="launch",
            limit=many.IN_CLOUDS if settings["platform"] == "aws" else many.at_once(settings["memory_mib"]),
            steps=steps,
        )
    finally:
        for taken in prepared:
            reserve.discard(taken)


def _launch(
    source: Source, prepared: Prepared, settings: dict[str, Any], steps: Steps, watch: type[Watch]
) -> Machine:
    user_data = source.user_data
    if settings["platform"] == "aws":
        user_data = with_hostname(user_data, prepared.name)
    seed = {
        "user-data": user_data,
        "meta-data": nocloud.meta_data(
            instance_id=f"{prepared.name}-{source.identity}",
            hostname=prepared.name,
            public_keys=(prepared.public_key,),
        ),
    }
    request = Request(
        name=prepared.name,
        target=source.target,
        source=source.source,
        sha256=source.sha256,
        seed=seed,
        user=source.admin,
        notebook_port=source.port,
        path=source.base_url.removesuffix("/"),
        endpoint_port=source.public_port,
        disk=source.disk,
        root=source.root,
        secrets={OWN_KEY: source.own_key} if source.own_key else {},
        own_certificate=source.own_certificate,
        metadata=source.metadata,
        sudo=source.sudo,
        **settings,
    )
    return lifecycle.launch(request, steps=steps, watch=watch)
