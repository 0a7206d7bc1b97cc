"""The size of user-data on each cloud, and its limits."""

from __future__ import annotations

import gzip

from notebake.errors import SpecError
from notebake.plan.plan import Plan
from notebake.provision import files
from notebake.provision.windows import user_data_files
from notebake.render import linux, windows

# Raw bytes of user-data that each cloud takes, before its own base64: EC2 and Google as documented;
# Azure and OpenStack take 65,535 bytes after base64, which is 49,149 before. Google's metadata values
# are text, so there the readable form is what counts.
LIMITS = {"aws": 16384, "azure": 49149, "openstack": 49149, "gcp": 262144}


def sizes(plan: Plan) -> dict[str, int]:
    """What each part of the guest adds to the gzipped user-data, in bytes, largest first."""
    items = files.files(plan)
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
    readable = linux.cloud_config(plan)
    packed = len(linux.user_data(plan))
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
