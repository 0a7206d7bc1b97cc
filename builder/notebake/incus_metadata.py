"""The metadata tar of an image for Incus and LXD: its properties, and templates of cloud-init's seed."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping

_SEED = "/var/lib/cloud/seed/nocloud"
# Templates of Pongo2, the language of Incus, which writes the files from an instance's configuration at every
# start: a string has one line, and a value comes without its last newline.
# As in the images of the Incus project, a changed configuration or a copy gets another instance-id, so that
# cloud-init treats it as a new machine.
_TEMPLATES = {
    "meta-data": """\
instance-id: {{ config_get("volatile.cloud-init.instance-id", instance.name) }}
local-hostname: {{ instance.name }}
{{ config_get("user.meta-data", "") }}
""",
    "user-data": """\
{% set given = config_get("cloud-init.user-data", "") %}{% if given %}{{ given }}
{% else %}#cloud-config
{}
{% endif %}""",
    "network-config": """\
{{ config_get("cloud-init.network-config", "{version: 2, ethernets: {eth0: {dhcp4: true, dhcp6: true}}}") }}
""",
}


def tar(properties: Mapping[str, str], created: int) -> bytes:
    """Return the tar (not compressed): same arguments, same bytes. `created`: seconds since 1970, UTC."""
    described = {
        "architecture": "x86_64",
        "creation_date": created,
        "properties": dict(properties),
        "templates": {
            f"{_SEED}/{name}": {"when": ["create", "copy", "start"], "template": f"{name}.tpl"}
            for name in _TEMPLATES
        },
    }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, text in (
            ("metadata.yaml", json.dumps(described)),  # JSON is YAML
            *((f"templates/{name}.tpl", text) for name, text in _TEMPLATES.items()),
        ):
            entry = tarfile.TarInfo(path)
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return out.getvalue()
