"""A Terraform and OpenTofu module for machines in AWS EC2: static text, with its values as JSON."""

from __future__ import annotations

import json

from notebake import paths
from notebake.files import RenderedFile
from notebake.plan.plan import Plan
from notebake.render.user_data import UserData

FOLDER = "terraform/aws"


def module(plan: Plan, user_data: UserData, *, name: str, public_key: str | None) -> tuple[RenderedFile, ...]:
    """Return the root module, which is whole without other files; `name`: that of the machines.

    Return nothing for a target without an AMI, of its publisher or of the spec.
    """
    settings, publisher = plan.spec.aws, plan.target.cloud.aws
    if publisher is None and settings.image is None:
        return ()
    values = {
        "admin": plan.admin,
        "allow": settings.allow,
        "image": settings.image,
        "name": name,
        "port": plan.spec.endpoint.public_port,
        "base_url": plan.spec.notebook.base_url,
        "public": settings.public,
        "public_key": public_key,
        "publisher": publisher and {"owner": publisher.owner, "name": publisher.name},
        "region": settings.region,
        "size": settings.size,
        "subnet": settings.subnet,
        "tags": settings.tags,
        "user_data": "user-data",
    }
    given = {key: value for key, value in values.items() if value is not None}
    text = (paths.data_folder("images") / "_shared" / FOLDER / "main.tf").read_bytes()
    return (
        RenderedFile(path=f"{FOLDER}/main.tf", data=text),
        RenderedFile(
            path=f"{FOLDER}/terraform.tfvars.json", data=(json.dumps(given, indent=2) + "\n").encode()
        ),
        RenderedFile(path=f"{FOLDER}/user-data", data=user_data.clouds["aws"]),
    )
