"""The request of a caller for a launch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from notebake.accelerator import Choice
from notebake.address import Address
from notebake.machines.aws_place import Place
from notebake.machines.machine import CANARY_PORT, CONSOLE, KEY, Cloud, Instance, Machine, Platform
from notebake.ssh import Ssh


@dataclass(frozen=True, kw_only=True)
class Request:
    """A machine to start; `name` comes from `prepare`.

    Exactly one of `disk` (qcow2) and `root` (a container's tar, plain or .zst). `seed`: NoCloud files
    by name (`user-data`, `meta-data`). `source` is `user-data` or the golden image's path; then
    `sha256` is its digest, taken here when it is None. `endpoint_port` is the public port taken when it is
    free, `public_port` one that must be had; `path` is where its pages begin. Sizes: `memory_mib` in MiB,
    `disk_gib` in GiB. `accel` is QEMU's only. `offline`: no outgoing network. `secrets`: absolute
    path in the machine -> bytes, copied over ssh once sshd answers. `own_certificate`: the machine serves a
    certificate that its owner brought. For Incus: `remote` and `project` (None: the client's defaults),
    `profiles` (none: `default`), `member` of a cluster, `vm`: a virtual machine instead of a container.
    For AWS: `place`; there is neither `disk` nor `root`.
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
    path: str = ""
    endpoint_port: int = 443
    public_port: int | None = None
    memory_mib: int = 2048
    cpus: int = 2
    disk_gib: int = 8
    accel: Choice = "auto"
    offline: bool = False
    limit: float = 900.0
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    own_certificate: bool = False
    metadata: bool = False
    sudo: bool = False
    remote: str | None = None
    project: str | None = None
    profiles: tuple[str, ...] = ()
    member: str | None = None
    vm: bool = False
    place: Place | None = None

    def machine(
        self,
        folder: Path,
        *,
        host: str,
        public: int,
        ssh: int = 22,
        canary: int | None = None,
        instance: Instance | None = None,
        cloud: Cloud | None = None,
    ) -> Machine:
        """Return the machine of this request, not yet booted, in `folder`: all its ports are on `host`."""
        return Machine(
            name=self.name,
            platform=self.platform,
            target=self.target,
            source=self.source,
            sha256=self.sha256,
            process=None,
            address=Address(host=host, port=public, path=self.path),
            notebook_port=self.notebook_port,
            own_certificate=self.own_certificate,
            metadata=self.metadata,
            sudo=self.sudo,
            offline=self.offline,
            canary=None if canary is None else Address(host=host, port=canary),
            canary_inside=CANARY_PORT,
            ssh=Ssh(
                host=host, port=ssh, user=self.user, key=folder / KEY, known_hosts=folder / "known_hosts"
            ),
            console=folder / CONSOLE,
            fingerprint=None,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            instance=instance,
            cloud=cloud,
            memory_mib=self.memory_mib,
            cpus=self.cpus,
            accel=self.accel,
        )
