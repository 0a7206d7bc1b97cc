"""Machines in AWS EC2: an instance, a security group and a key pair for each, found again by their tag."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import tenacity
from filelock import BaseFileLock, FileLock

from notebake.errors import CommandFailed, NotebakeError
from notebake.machines import aws_client, aws_place, console
from notebake.machines import machine as record
from notebake.machines.aws_client import explained
from notebake.machines.aws_place import Place
from notebake.machines.machine import Cloud, Machine, State
from notebake.machines.request import Request

TAG = "notebake"
_STATES: dict[str, State] = {
    "pending": "running",
    "running": "running",
    "stopping": "stopped",
    "stopped": "stopped",
}
POLL_SECONDS = 5.0
_SECONDS = 600.0  # in which an instance gets its address, stops or is terminated
_UNKNOWN = "0.0.0.0"  # the address of a machine that has none yet


class _NotYet(Exception):
    """AWS has not done it yet."""


def start(request: Request, folder: Path, lock: BaseFileLock) -> Machine:
    """Make the instance and what belongs to it; return once it has an address.

    The plan is saved first, so that nothing of it is ever lost. Raises SpecError, MissingTool or
    CommandFailed; the caller removes what the plan names.
    """
    place = request.place
    assert place is not None
    aws_place.check_names([request.name], place)
    cloud = Cloud(region=place.region, key=secrets.token_hex(16), public=place.public)
    machine = request.machine(folder, host=_UNKNOWN, public=request.endpoint_port, canary=None, cloud=cloud)
    with lock:
        record.save(machine, record.PLANNED)
    _create(request, machine, place)
    return record.save(_with_address(machine), record.PLANNED)


def _create(request: Request, machine: Machine, place: Place) -> None:
    client, key = aws_client.ec2(place.region), of(machine).key
    tags = [
        {"Key": name, "Value": text} for name, text in {**place.tags, "Name": machine.name, TAG: key}.items()
    ]

    def tagged(*kinds: str) -> list[dict[str, Any]]:
        return [{"ResourceType": kind, "Tags": tags} for kind in kinds]

    with explained("create the security group"):
        group = client.create_security_group(
            GroupName=f"notebake-{machine.name}-{key[:8]}",
            Description=f"notebake: {machine.name}",
            VpcId=place.vpc,
            TagSpecifications=tagged("security-group"),
        )["GroupId"]
        client.authorize_security_group_ingress(
            GroupId=group, IpPermissions=[_rule(port, place.allow) for port in (22, machine.address.port)]
        )
    with explained("import the ssh key"):
        pair = client.import_key_pair(
            KeyName=f"notebake-{machine.name}-{key[:8]}",
            PublicKeyMaterial=(machine.folder / f"{record.KEY}.pub").read_bytes(),
            TagSpecifications=tagged("key-pair"),
        )["KeyName"]
    with explained("start the machine"):
        client.run_instances(
            MinCount=1,
            MaxCount=1,
            ClientToken=key,  # a request that is sent again makes no second machine
            ImageId=place.image.id,
            InstanceType=place.size,
            KeyName=pair,
            # boto3 encodes it.
            UserData=request.seed["user-data"],
            MetadataOptions={
                "HttpEndpoint": "enabled",
                "HttpTokens": "required",
                "HttpPutResponseHopLimit": 1,
            },
            InstanceInitiatedShutdownBehavior="stop",
            NetworkInterfaces=[
                {
                    "DeviceIndex": 0,
                    "SubnetId": place.subnet,
                    "Groups": [group],
                    "AssociatePublicIpAddress": place.public,
                    "DeleteOnTermination": True,
                }
            ],
            BlockDeviceMappings=[
                {
                    "DeviceName": place.image.device,
                    "Ebs": {"VolumeSize": place.disk_gib, "VolumeType": "gp3", "DeleteOnTermination": True},
                }
            ],
            TagSpecifications=tagged("instance", "volume", "network-interface"),
        )


def _rule(port: int, networks: Iterable[str]) -> dict[str, Any]:
    four = [{"CidrIp": each} for each in networks if ":" not in each]
    six = [{"CidrIpv6": each} for each in networks if ":" in each]
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": four, "Ipv6Ranges": six}


def of(machine: Machine) -> Cloud:
    """Return where the machine is."""
    assert machine.cloud is not None
    return machine.cloud


def _tagged(key: str) -> list[dict[str, Any]]:
    return [{"Name": f"tag:{TAG}", "Values": [key]}]


def _find(client: Any, machine: Machine) -> Mapping[str, Any] | None:
    """Return what EC2 knows of the instance, None if it was terminated."""
    with explained("find the machine"):
        reservations = client.describe_instances(Filters=_tagged(of(machine).key))["Reservations"]
    instances = [each for reservation in reservations for each in reservation["Instances"]]
    return next((each for each in instances if each["State"]["Name"] in _STATES), None)


def _existing(client: Any, machine: Machine) -> Mapping[str, Any]:
    found = _find(client, machine)
    if found is None:
        raise CommandFailed(
            f"{machine.name}: its instance was terminated in {of(machine).region}",
            f"notebake delete {machine.name} removes what is left",
        )
    return found


def _is_not_yet(error: BaseException) -> bool:
    return isinstance(error, _NotYet)


def _is_in_use(error: BaseException) -> bool:
    # The network card of a terminated instance keeps its security group for some seconds.
    return aws_client.code(error) == "DependencyViolation"


def _poll(again: Callable[[BaseException], bool] = _is_not_yet) -> tenacity.Retrying:
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(again),
        wait=tenacity.wait_fixed(POLL_SECONDS / 5),
        stop=tenacity.stop_after_delay(_SECONDS),
        reraise=True,
    )


def _with_address(machine: Machine) -> Machine:
    """Wait until the instance has its address; return the machine at it. Raises CommandFailed."""
    client, where = aws_client.ec2(of(machine).region), of(machine)

    def look() -> Machine:
        with explained("find the machine"):
            reservations = client.describe_instances(Filters=_tagged(where.key))["Reservations"]
        if not reservations:
            raise _NotYet("it is not known yet")
        (found,) = reservations[0]["Instances"]
        if found["State"]["Name"] not in ("pending", "running"):
            why = found.get("StateReason", {}).get("Message", found["State"]["Name"])
            raise CommandFailed(
                f"{machine.name}: AWS ended it at once: {why}", "is a quota, or a key, at fault?"
            )
        host = found.get("PublicIpAddress" if where.public else "PrivateIpAddress")
        if not host:
            raise _NotYet("it has no address yet")
        return record.move(machine, host, machine.address.port, 22)

    try:
        return _poll()(look)
    except _NotYet as error:
        raise CommandFailed(
            f"{machine.name}: {error} after {_SECONDS:.0f} s", "has the subnet a route to the Internet?"
        ) from None


def boot(machine: Machine) -> Machine:
    """Start a stopped instance; return the machine at its address, a new one if that is public."""
    client = aws_client.ec2(of(machine).region)
    found = _existing(client, machine)
    with explained(f"start {machine.name}"):
        if found["State"]["Name"] == "stopping":
            _wait(client, "instance_stopped", found)
        client.start_instances(InstanceIds=[found["InstanceId"]])
    return _with_address(machine)


def look(machine: Machine) -> bool:
    """Bring the console log up to date; return whether the machine runs. Raises as `start`."""
    client = aws_client.ec2(of(machine).region)
    found = _find(client, machine)
    if found is None:
        return False
    _read_console(client, machine, found["InstanceId"])
    return _STATES[found["State"]["Name"]] == "running"


def _read_console(client: Any, machine: Machine, instance: str) -> None:
    """Append what the console printed since it was last read: EC2 keeps the last 64 KiB."""
    from botocore.exceptions import ClientError

    # Two readers at once would append their parts in the wrong order.
    with explained("read the console"), FileLock(machine.folder / "console.lock"):
        try:
            # Without Latest it is the log of some minutes ago. Only instances on Nitro have it.
            answer = client.get_console_output(InstanceId=instance, Latest=True)
        except ClientError as error:
            if aws_client.code(error) != "UnsupportedOperation":
                raise
            answer = client.get_console_output(InstanceId=instance)
        console.append(machine.console, answer.get("Output", ""))


def states(machines: Iterable[Machine]) -> dict[str, State]:
    """Return the state of each by name; a region that does not answer makes its machines `unreachable`."""
    regions: dict[str, list[Machine]] = {}
    for each in machines:
        regions.setdefault(of(each).region, []).append(each)
    found: dict[str, State] = {}
    for region, here in regions.items():
        try:
            known = _states(region)
        except NotebakeError:
            found |= {each.name: "unreachable" for each in here}
            continue
        found |= {each.name: known.get(of(each).key, "missing") for each in here}
    return found


def _states(region: str) -> dict[str, State]:
    """Return the states of all machines with our tag in the region, by its value."""
    client = aws_client.ec2(region)
    with explained("list the machines"):
        return {
            tag["Value"]: _STATES[each["State"]["Name"]]
            for page in client.get_paginator("describe_instances").paginate(
                Filters=[{"Name": "tag-key", "Values": [TAG]}]
            )
            for reservation in page["Reservations"]
            for each in reservation["Instances"]
            for tag in each["Tags"]
            if tag["Key"] == TAG and each["State"]["Name"] in _STATES
        }


def shutdown(machine: Machine, seconds: float) -> bool:
    """Ask the machine's systemd to power off, and wait; return whether it did. EC2 gives it minutes."""
    client = aws_client.ec2(of(machine).region)
    found = _find(client, machine)
    if found is None:
        return True
    with explained(f"stop {machine.name}"):
        client.stop_instances(InstanceIds=[found["InstanceId"]])
        _wait(client, "instance_stopped", found)
    return True


def end(machine: Machine) -> None:
    """Power the instance off if it runs. Raises as `start`."""
    client = aws_client.ec2(of(machine).region)
    found = _find(client, machine)
    if found is not None and found["State"]["Name"] != "stopped":
        with explained(f"stop {machine.name}"):
            client.stop_instances(InstanceIds=[found["InstanceId"]], Force=True)
            _wait(client, "instance_stopped", found)


def delete(machine: Machine) -> None:
    """Terminate the instance and remove all that has the machine's tag. Raises as `start`."""
    client = aws_client.ec2(of(machine).region)
    tagged = _tagged(of(machine).key)
    found = _find(client, machine)
    if found is not None:
        with explained(f"terminate {machine.name}"):
            client.terminate_instances(InstanceIds=[found["InstanceId"]])
    with explained(f"wait for the end of {machine.name}"):
        for reservation in client.describe_instances(Filters=tagged)["Reservations"]:
            _wait(client, "instance_terminated", reservation["Instances"][0])
    with explained(f"delete the security group of {machine.name}"):
        for group in client.describe_security_groups(Filters=tagged)["SecurityGroups"]:
            _poll(_is_in_use)(client.delete_security_group, GroupId=group["GroupId"])
    with explained(f"delete the key pair of {machine.name}"):
        for pair in client.describe_key_pairs(Filters=tagged)["KeyPairs"]:
            client.delete_key_pair(KeyName=pair["KeyName"])


def _wait(client: Any, event: str, instance: Mapping[str, Any]) -> None:
    attempts = {"Delay": POLL_SECONDS, "MaxAttempts": round(_SECONDS / POLL_SECONDS)}
    client.get_waiter(event).wait(InstanceIds=[instance["InstanceId"]], WaiterConfig=attempts)
