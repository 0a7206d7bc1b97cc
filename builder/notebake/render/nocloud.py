"""NoCloud: meta-data, the instance-id, and the seed of the machine that Packer provisions."""

from __future__ import annotations

import re

from notebake import templates
from notebake.provision.files import Payload


def meta_data(
    *,
    instance_id: str,
    hostname: str | None = None,
    public_keys: tuple[str, ...] = (),
    admin_pass: str | None = None,
) -> bytes:
    """Return NoCloud meta-data (YAML). `admin_pass`: a secret, the user's password on Windows."""
    return templates.render(
        "meta-data.yaml.j2",
        instance_id=instance_id,
        hostname=hostname,
        public_keys=list(public_keys),
        admin_pass=admin_pass,
    )


def build_seed(public_key: str) -> dict[str, bytes]:
    """Return the NoCloud files for the machine that Packer provisions; `public_key` is an OpenSSH line."""
    return {
        "user-data": templates.render("build-seed.yaml.j2", public_key=public_key),
        "meta-data": meta_data(instance_id="notebake-build"),
    }


def instance_id(payload: Payload, hostname: str) -> str:
    """Return a NoCloud instance-id for the machine `hostname`: same payload and name, same id."""
    return f"{re.sub(r'[^a-z0-9-]', '-', hostname.lower())}-{payload.digest[:12]}"
