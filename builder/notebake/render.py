"""Plan -> files: user-data, meta-data, the NoCloud seed, the Packer template. Pure: no clock, no randomness."""

from __future__ import annotations

import gzip
import json
import re
from functools import lru_cache

from notebake import guest, resources, seed, templates
from notebake.errors import SpecError
from notebake.files import RenderedFile
from notebake.plan import Plan
from notebake.targets import Download
from notebake.windows import forms as windows
from notebake.windows import media, names
from notebake.windows.guest import user_data_files

# Raw bytes of user-data that each cloud takes, before its own base64: EC2 and Google as documented;
# Azure and OpenStack take 65,535 bytes after base64, which is 49,149 before. Google's metadata values
# are text, so there the readable form is what counts.
LIMITS = {"aws": 16384, "azure": 49149, "openstack": 49149, "gcp": 262144}


def cloud_config(plan: Plan) -> bytes:
    """The user-data as readable `#cloud-config` text."""
    items = guest.files(plan)
    binary = [item.path for item in items if b"\0" in item.data or not _is_text(item.data)]
    if binary:
        raise SpecError(f"{binary[0]}: not text (UTF-8), so it cannot be carried by user-data")
    return templates.render(
        "user-data.yaml.j2",
        title=f"{plan.target.name}, endpoint {plan.spec.endpoint.name}",
        user=plan.spec.user,
        cloud=guest.cloud_settings(plan),
        guest=items,
        digest=guest.digest(items),
    )


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


@lru_cache(maxsize=16)
def user_data(plan: Plan) -> bytes:
    """The user-data as clouds get it: gzipped, which cloud-init unpacks by itself.

    The same for each machine of a plan: what differs, the host name, is in the meta-data. Zopfli finds a
    gzip stream that is 8 % shorter than zlib's, for which EC2's limit has a use.
    """
    # Here, not above: most commands render nothing.
    from zopfli import gzip as zopfli

    return bytes(zopfli.compress(cloud_config(plan)))


def meta_data(*, instance_id: str, hostname: str | None = None, public_keys: tuple[str, ...] = ()) -> bytes:
    """NoCloud meta-data (YAML)."""
    return templates.render(
        "meta-data.yaml.j2", instance_id=instance_id, hostname=hostname, public_keys=list(public_keys)
    )


def sizes(plan: Plan) -> dict[str, int]:
    """What each part of the guest adds to the gzipped user-data, in bytes, largest first."""
    items = guest.files(plan)
    if plan.target.family == "windows":
        items = user_data_files(items)
    whole = len(gzip.compress(b"".join(item.data for item in items), compresslevel=9))
    adds = {
        item.path: whole
        - len(gzip.compress(b"".join(other.data for other in items if other is not item), compresslevel=9))
        for item in items
    }
    return dict(sorted(adds.items(), key=lambda pair: -pair[1]))


def user_data_sizes(plan: Plan) -> dict[str, tuple[int, int]]:
    """This plan's user-data on each cloud: name -> (bytes, limit)."""
    if plan.target.family == "windows":
        made = windows.forms(plan)
        return {name: (len(made[name].data), limit) for name, limit in LIMITS.items()}
    readable = cloud_config(plan)
    packed = len(user_data(plan))
    return {name: (len(readable) if name == "gcp" else packed, limit) for name, limit in LIMITS.items()}


def check_size(plan: Plan, clouds: tuple[str, ...]) -> None:
    """SpecError when user-data is over the limit of one of `clouds`; names the largest part."""
    for name, (size, limit) in user_data_sizes(plan).items():
        if name in clouds and size > limit:
            part, adds = next(iter(sizes(plan).items()))
            raise SpecError(
                f"user-data of {plan.target.name}: {size:,} bytes, the limit of {name} is {limit:,}; "
                f"the largest part is {part} ({adds:,} bytes)",
                "fewer packages, notebooks or CA certificates, or --cloud for a cloud that takes more; "
                "a golden image has no such limit",
            )


def packer_files(plan: Plan) -> tuple[RenderedFile, ...]:
    """The Packer template, its scripts and the guest's archive, without values of this computer."""
    if plan.target.family == "windows":
        return media.packer_files(plan)
    shared = resources.folder("images") / "_shared/linux"
    found = [
        RenderedFile(
            path=path.relative_to(shared).as_posix(), data=path.read_bytes(), mode=path.stat().st_mode & 0o755
        )
        for path in sorted(shared.rglob("*"))
        if path.is_file()
    ]
    found.append(RenderedFile(path="guest.tar.gz", data=guest.archive(guest.files(plan))))
    found.append(RenderedFile(path="variables.pkrvars.json", data=packer_variables(plan)))
    return tuple(found)


def packer_variables(plan: Plan) -> bytes:
    """Values for the Packer template, as the JSON variable file it reads: never as HCL text."""
    base = plan.target.base
    variables = {"target": plan.target.name, "base_image": "base.qcow2", "base_checksum": "none"}
    if isinstance(base, Download):
        variables["base_image"] = base.url
        if base.sha256:
            variables["base_checksum"] = f"sha256:{base.sha256}"
    # What is "none" here, a base made on this computer or one whose digest its project publishes only
    # beside it, gets its digest from `notebake bake`.
    return (json.dumps(variables, indent=1) + "\n").encode()


def build_seed(public_key: str) -> dict[str, bytes]:
    """The NoCloud files for the machine that Packer provisions; `public_key` is an OpenSSH line."""
    return {
        "user-data": templates.render("build-seed.yaml.j2", public_key=public_key),
        "meta-data": meta_data(instance_id="notebake-build"),
    }


def instance_id(plan: Plan, hostname: str) -> str:
    """A NoCloud instance-id for this plan on the machine `hostname`: same plan and name, same id."""
    return f"{re.sub(r'[^a-z0-9-]', '-', hostname.lower())}-{guest.digest(guest.files(plan))[:12]}"


def files(
    plan: Plan, *, clouds: tuple[str, ...] = tuple(LIMITS), hostname: str | None = None
) -> tuple[RenderedFile, ...]:
    """Everything `notebake render` writes; `hostname` goes into the meta-data.

    Raises SpecError over the size limit of one of `clouds`, or for a host name the target refuses.
    """
    check_size(plan, clouds)
    name = hostname or plan.target.name.replace(".", "-")
    if plan.target.family == "windows":
        names.check_computer(name)
        made = windows.forms(plan)
        packed = made["openstack"].data
        found = [RenderedFile(path=form.path, data=form.data) for form in made.values()]
        found.append(RenderedFile(path="azure/extension.json", data=windows.azure_extension()))
    else:
        packed = user_data(plan)
        found = [
            RenderedFile(path="user-data", data=packed),
            RenderedFile(path="user-data.yaml", data=cloud_config(plan)),
        ]
    meta = meta_data(instance_id=instance_id(plan, name), hostname=hostname)
    found += [
        RenderedFile(path="meta-data", data=meta),
        RenderedFile(path="seed.iso", data=seed.iso({"user-data": packed, "meta-data": meta})),
    ]
    found += [
        RenderedFile(path=f"packer/{item.path}", data=item.data, mode=item.mode)
        for item in packer_files(plan)
    ]
    return tuple(found)
