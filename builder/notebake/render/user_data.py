"""User-data as each cloud gets it, and each cloud's limit."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass

from notebake.errors import SpecError
from notebake.files import RenderedFile

# Raw bytes of user-data that each cloud takes, before its own base64: EC2 and Google as documented;
# Azure and OpenStack take 65,535 bytes after base64, which is 49,149 before.
LIMITS = {"aws": 16384, "azure": 49149, "openstack": 49149, "gcp": 262144}


@dataclass(frozen=True, kw_only=True)
class UserData:
    """The user-data of one plan.

    `clouds`: for each cloud of LIMITS, the bytes its machines get. `files`: what `notebake render` writes.
    `seed`: the user-data of a NoCloud seed. `parts`: the provisioning files it carries.
    """

    clouds: Mapping[str, bytes]
    files: tuple[RenderedFile, ...]
    seed: bytes
    parts: tuple[RenderedFile, ...]


def sizes(data: UserData) -> dict[str, tuple[int, int]]:
    """Return (bytes, limit) of the user-data by cloud."""
    return {name: (len(data.clouds[name]), limit) for name, limit in LIMITS.items()}


def part_sizes(data: UserData) -> dict[str, int]:
    """Return what each provisioning file adds to the user-data once gzipped, in bytes, largest first."""

    def packed(parts: list[RenderedFile]) -> int:
        return len(gzip.compress(b"".join(item.data for item in parts), compresslevel=9))

    whole = packed(list(data.parts))
    adds = {
        item.path: whole - packed([other for other in data.parts if other is not item]) for item in data.parts
    }
    return dict(sorted(adds.items(), key=lambda pair: -pair[1]))


def check_size(target: str, data: UserData, clouds: tuple[str, ...]) -> None:
    """Raise SpecError, which names the largest part, when user-data is over the limit of one of `clouds`."""
    for name, (size, limit) in sizes(data).items():
        if name in clouds and size > limit:
            part, adds = next(iter(part_sizes(data).items()))
            raise SpecError(
                f"user-data of {target}: {size:,} bytes, the limit of {name} is {limit:,}; "
                f"the largest part is {part} ({adds:,} bytes)",
                "host the large part elsewhere: --include URL; or fewer packages, notebooks or CA "
                "certificates, or --cloud for a cloud that takes more; a golden image has no such limit",
            )


def with_hostname(user_data: bytes, name: str) -> bytes:
    """Return user-data that also names the machine: EC2's meta-data has no place for it.

    A gzip file may have several members, and cloud-init unpacks them all.
    """
    line = f"hostname: {name}\n".encode()
    return user_data + (gzip.compress(line, mtime=0) if user_data.startswith(b"\x1f\x8b") else line)
