"""Where a machine goes in AWS: all that is looked up before anything is made there."""

from __future__ import annotations

import ipaddress
import urllib.request
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from notebake.errors import CommandFailed, SpecError
from notebake.machines import aws_client
from notebake.machines.aws_client import explained

# AWS' own service that answers with the caller's address.
MY_ADDRESS = "https://checkip.amazonaws.com/"
_ALIVE = ["pending", "running", "stopping", "stopped"]


@dataclass(frozen=True, kw_only=True)
class Image:
    """An AMI: its id and name, the device of its root disk, and that one's size (GiB)."""

    id: str
    name: str
    device: str
    gib: int


@dataclass(frozen=True, kw_only=True)
class Place:
    """What the machines of one launch share.

    `names`: the names in use in the region, by tag. `disk_gib`: size of a root disk.
    """

    region: str
    account: str
    image: Image
    size: str
    subnet: str
    vpc: str
    public: bool
    allow: tuple[str, ...]
    tags: Mapping[str, str]
    disk_gib: int
    names: frozenset[str]

    def description(self, count: int, port: int) -> str:
        """Return what a launch of `count` machines creates, for the user; `port` is the public one."""
        return (
            f"AWS, account {self.account}, region {self.region}:\n"
            f"  {count} x {self.size} in {self.subnet}, {self.disk_gib} GiB disk, "
            f"{'a public' if self.public else 'no public'} address\n"
            f"  image {self.image.id} ({self.image.name})\n"
            f"  each with a key pair and a security group: ports 22 and {port} from {', '.join(self.allow)}\n"
            "  AWS bills them until `notebake delete`, the disks also while they are stopped"
        )


def find(
    *,
    region: str | None,
    image: str | None,
    publisher: tuple[str, str] | None,
    size: str,
    subnet: str | None,
    public: bool,
    allow: Sequence[str] | None,
    tags: Mapping[str, str],
    disk_gib: int,
) -> Place:
    """Look up what a launch needs; nothing is made.

    `image` is an AMI's id; without it the newest of `publisher` (account, pattern of names) is taken.
    Raises MissingTool, SpecError, CommandFailed.
    """
    session = aws_client.session(region)
    with explained("find out who you are"):
        account = aws_client.client(session, "sts").get_caller_identity()["Account"]
    client = aws_client.client(session, "ec2")
    found = _image(client, image, publisher)
    subnet, vpc = _subnet(client, size, subnet)
    return Place(
        region=session.region_name,
        account=account,
        image=found,
        size=size,
        subnet=subnet,
        vpc=vpc,
        public=public,
        allow=tuple(allow) if allow else (my_address(),),
        tags=tags,
        disk_gib=max(disk_gib, found.gib),
        names=frozenset(_names(client)),
    )


def check_names(wanted: Collection[str], place: Place) -> None:
    """Raise SpecError for a name that a machine in the region has."""
    for name in sorted(place.names.intersection(wanted)):
        raise SpecError(
            f"name: {place.region} has an instance {name} that this notebake did not make",
            "use another name: --name NAME",
        )


def my_address() -> str:
    """Return the address from which this host reaches AWS, as a network of one. Raises CommandFailed."""
    try:
        with urllib.request.urlopen(MY_ADDRESS, timeout=20) as answer:
            return str(ipaddress.ip_network(answer.read(64).decode("ascii").strip()))
    except (OSError, ValueError) as error:
        raise CommandFailed(
            f"your own address is not known: {MY_ADDRESS}: {error}",
            'set `allow` in [aws] of notebake.toml: allow = ["198.51.100.7/32"]',
        ) from None


def _image(client: Any, wanted: str | None, publisher: tuple[str, str] | None) -> Image:
    if wanted is None and publisher is None:
        raise SpecError(
            "AWS: the target's publisher has no known image there", "set `image` in [aws] of notebake.toml"
        )
    with explained("find the image"):
        if wanted is not None:
            images = client.describe_images(ImageIds=[wanted])["Images"]
        else:
            assert publisher is not None
            wanted = " ".join(publisher)
            filters = {"name": publisher[1], "architecture": "x86_64", "state": "available"}
            images = client.describe_images(
                Owners=[publisher[0]],
                Filters=[{"Name": name, "Values": [value]} for name, value in filters.items()],
            )["Images"]
    if not images:
        raise SpecError(
            f"AWS: {client.meta.region_name} has no image {wanted}", "set `image` in [aws] of notebake.toml"
        )
    newest = max(images, key=lambda each: each.get("CreationDate", ""))
    if newest.get("Architecture", "x86_64") != "x86_64":
        raise SpecError(
            f"AWS: {newest['ImageId']} is for {newest['Architecture']}", "use an image for x86_64"
        )
    device = newest.get("RootDeviceName", "/dev/xvda")
    disks = {each["DeviceName"]: each.get("Ebs", {}) for each in newest.get("BlockDeviceMappings", ())}
    return Image(
        id=newest["ImageId"],
        name=newest.get("Name", "no name"),
        device=device,
        gib=disks.get(device, {}).get("VolumeSize", 1),
    )


def _subnet(client: Any, size: str, wanted: str | None) -> tuple[str, str]:
    """Return a subnet where there are machines of this size, and its VPC."""
    region = client.meta.region_name
    with explained("find the size"):
        offered = {
            each["Location"]
            for page in client.get_paginator("describe_instance_type_offerings").paginate(
                LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": [size]}]
            )
            for each in page["InstanceTypeOfferings"]
        }
    if not offered:
        raise SpecError(f"aws.size: {region} has no {size}", "set another `size` in [aws], or another region")
    with explained("find the subnet"):
        chosen = (
            {"Filters": [{"Name": "default-for-az", "Values": ["true"]}]}
            if wanted is None
            else {"SubnetIds": [wanted]}
        )
        subnets = client.describe_subnets(**chosen)["Subnets"]
    if not subnets:
        raise SpecError(f"AWS: {region} has no default VPC", "set `subnet` in [aws] of notebake.toml")
    fitting = [each for each in subnets if each["AvailabilityZone"] in offered]
    if not fitting:
        zones = ", ".join(sorted(offered))
        raise SpecError(
            f"aws.size: there is no {size} in the zone of {wanted or 'the default subnets'}",
            f"set another `size` or `subnet` in [aws]; zones that have it: {zones}",
        )
    first = min(fitting, key=lambda each: str(each["AvailabilityZone"]))
    return first["SubnetId"], first["VpcId"]


def _names(client: Any) -> set[str]:
    with explained("list the machines"):
        pages = client.get_paginator("describe_instances").paginate(
            Filters=[{"Name": "instance-state-name", "Values": _ALIVE}]
        )
        return {
            tag["Value"]
            for page in pages
            for reservation in page["Reservations"]
            for instance in reservation["Instances"]
            for tag in instance.get("Tags", ())
            if tag["Key"] == "Name"
        }
