"""What a caller asks of a launch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from notebake.accelerator import Wanted
from notebake.machines.machine import Platform


@dataclass(frozen=True, kw_only=True)
class Request:
    """A machine to start; `name` comes from `prepare`.

    Exactly one of `disk` (qcow2; both platforms) and `root` (nspawn only: a tar, plain or .zst, or a
    prepared folder, which is copied). `seed`: NoCloud files by name (`user-data`, `meta-data`, optionally
    `network-config`). `source` is `user-data` or the golden image's path; then `sha256` is its digest,
    taken here when it is None. `endpoint_port` is the public port taken when it is free, `public_port`
    one that must be had. Sizes: `memory_mib` in MiB, `disk_gib` in GiB; memory, cpus, disk_gib and accel
    are QEMU's only: nspawn shares the host's. `offline`: no way out of the machine. `secrets`: absolute
    path in the machine -> bytes, copied over ssh once sshd answers. `own_certificate`: the machine serves a
    certificate that its owner brought.
    """

    name: str
    target: str
    platform: Platform
    seed: Mapping[str, bytes] = field(repr=False)
    user: str
    disk: Path | None = None
    root: Path | None = None
    source: str = "user-data"
    sha256: str | None = None
    notebook_port: int = 9999
    endpoint_port: int = 443
    public_port: int | None = None
    memory_mib: int = 2048
    cpus: int = 2
    disk_gib: int = 8
    accel: Wanted = "auto"
    offline: bool = False
    limit: float = 900.0
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    own_certificate: bool = False
