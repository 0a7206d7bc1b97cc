"""From a plan to machines in AWS: the publisher's image with user-data only, or a golden image's AMI."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from notebake.errors import SpecError
from notebake.launch import Source
from notebake.machines import aws_place
from notebake.machines.aws_place import Place
from notebake.plan import own_certificate
from notebake.plan.plan import Plan
from notebake.provision import files
from notebake.render import include, output
from notebake.render.user_data import check_size, with_hostname


def find(plan: Plan, image: str | None, disk_gib: int) -> Place:
    """Return where the machines go, by [aws] of the spec; `image` is the AMI of a golden image.

    Raises SpecError, MissingTool, CommandFailed.
    """
    settings, publisher = plan.spec.aws, plan.target.cloud.aws
    return aws_place.find(
        region=settings.region,
        image=image or settings.image,
        publisher=None if publisher is None else (publisher.owner, publisher.name),
        size=settings.size,
        subnet=settings.subnet,
        public=settings.public,
        allow=settings.allow,
        tags=settings.tags,
        disk_gib=disk_gib,
    )


def source(plan: Plan, image: str | None, include_url: str | None, folder: Path, longest_name: str) -> Source:
    """Return what the machines start from; `folder` is the spec's. Raises SpecError.

    With `include_url` they fetch the provisioning files from there. `longest_name`: of the machines' names,
    which user-data has, too.

    A golden image has all files; the plan says for which user and port it was baked.
    """
    if plan.target.is_windows:
        raise SpecError(
            f"target {plan.target.name}: notebake cannot launch Windows",
            "`notebake render` writes its user-data for AWS in aws/",
        )
    payload = files.build(plan)
    data = b"#cloud-config\n"
    if image is None:
        if include_url is None:
            made = output.user_data(plan, payload)
        else:
            made = include.user_data(plan, payload, include.include(plan, payload, include_url))
        data = made.clouds["aws"]
        longest = {**made.clouds, "aws": with_hostname(data, longest_name)}
        check_size(plan.target.name, dataclasses.replace(made, clouds=longest), ("aws",))
    return Source(
        target=plan.target.name,
        source=image or "user-data",
        admin=plan.admin,
        port=plan.spec.notebook.port,
        public_port=plan.spec.endpoint.public_port,
        user_data=data,
        identity=payload.digest[:12],
        base_url=plan.spec.notebook.base_url,
        own_certificate=plan.own_certificate is not None,
        metadata=plan.spec.notebook.metadata,
        sudo=plan.spec.notebook.sudo,
        own_key=own_certificate.read_key(plan.spec, folder),
    )
