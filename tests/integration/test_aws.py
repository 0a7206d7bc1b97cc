"""`launch --on aws` by the real boto3 against moto's server, up to where a machine would answer."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
import yaml
from moto.ec2.models.instances import Instance
from tests import aws as cloud
from tests.aws import Aws
from tests.conftest import GOLDEN_SPEC, Run
from tests.loopback import Quiet, serving

from notebake import paths
from notebake.machines import aws as platform
from notebake.machines import aws_place

# moto's model of STS has no such error; AWS sends it.
pytestmark = pytest.mark.filterwarnings("ignore:Exception.STSClientError")

SETTINGS = '[aws]\nallow = ["203.0.113.0/24", "2001:db8::/32"]\ntags = { course = "ml-1" }\n'


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    monkeypatch.setattr(platform, "POLL_SECONDS", 0.1)
    aws = Aws(monkeypatch)
    yield aws
    aws.close()


@pytest.fixture(autouse=True)
def spec(tmp_path: Path) -> Path:
    """The spec of the folder that `run` works in."""
    path = tmp_path / "notebake.toml"
    path.write_text(GOLDEN_SPEC + SETTINGS)
    return path


LAUNCH = ("launch", "debian-13", "--on", "aws")


def nothing_left(aws: Aws) -> None:
    assert aws.left() == []
    assert list((paths.state_folder() / "machines").glob("*/machine.json")) == []


def test_a_dry_run_says_what_would_be_made_and_makes_nothing(aws: Aws, run: Run) -> None:
    aws.add_image("ami-00000000000000001", "debian-13-amd64-20250101-1", owner="999999999999")
    code, out, err = run(*LAUNCH, "--dry-run", "--count", "3", "--name", "class", "--disk", "20")
    assert (code, out) == (0, "")
    for words in (
        cloud.ACCOUNT, cloud.REGION, "3 x t3.small", "20 GiB", cloud.IMAGE, "debian-13-amd64-20261101-2000",
        "ports 22 and 443 from 203.0.113.0/24, 2001:db8::/32",
    ):  # fmt: skip
        assert words in err
    nothing_left(aws)


def test_nothing_is_made_without_a_yes(aws: Aws, run: Run) -> None:
    code, _, err = run(*LAUNCH)
    assert code == 2
    assert "hint: --yes creates it without asking" in err
    nothing_left(aws)


def test_a_machine_that_never_answers_is_removed(aws: Aws, run: Run) -> None:
    """What was asked of AWS for it is as it must be."""
    made: list[Instance] = []
    rules: set[tuple[int, int, str]] = set()

    def started(instance: Instance) -> None:
        made.append(instance)
        client = boto3.client("ec2")
        (reservation,) = client.describe_instances(InstanceIds=[instance.id])["Reservations"]
        group = reservation["Instances"][0]["NetworkInterfaces"][0]["Groups"][0]["GroupId"]
        for rule in client.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissions"]:
            networks = [each["CidrIp"] for each in rule["IpRanges"]]
            networks += [each["CidrIpv6"] for each in rule["Ipv6Ranges"]]
            rules.update((rule["FromPort"], rule["ToPort"], network) for network in networks)

    aws.started = started
    code, _, err = run(*LAUNCH, "--yes", "--timeout", "1", "--name", "one")
    assert code == 5
    assert "one: sshd does not answer after 1 s" in err and "nothing of it is left" in err
    nothing_left(aws)
    (instance,) = made
    assert instance.metadata_options.http_tokens == "required"
    assert instance.metadata_options.http_put_response_hop_limit == 1
    assert instance.instance_type == "t3.small" and instance.image_id == cloud.IMAGE
    assert rules == {(p, p, network) for p in (22, 443) for network in ("203.0.113.0/24", "2001:db8::/32")}
    tags = {tag["key"]: tag["value"] for tag in instance.get_tags()}
    assert tags["Name"] == "one" and tags["course"] == "ml-1" and len(tags["notebake"]) == 32
    settings = yaml.safe_load(gzip.decompress(cloud.user_data(instance)))
    assert settings["hostname"] == "one" and settings["user"] == {"name": "azureuser"}
    assert settings["bootcmd"]


def test_a_golden_image_gets_its_name_only(aws: Aws, run: Run) -> None:
    image = "ami-0fedcba9876543210"
    aws.add_image(image, "golden", owner=cloud.ACCOUNT)
    made: list[Instance] = []
    aws.started = made.append
    code, _, err = run(*LAUNCH, "--image", image, "--yes", "--timeout", "1")
    assert code == 5, err
    (instance,) = made
    assert instance.image_id == image
    assert cloud.user_data(instance) == b"#cloud-config\nhostname: debian-13-1\n"
    nothing_left(aws)


@pytest.mark.parametrize(
    ("operation", "error", "words"),
    [
        ("get_caller_identity", "ExpiredToken", "log in again"),
        ("describe_instances", "UnauthorizedOperation", "lack a permission"),
        ("run_instances", "VcpuLimitExceeded", "higher quota"),
        ("run_instances", "InsufficientInstanceCapacity", "try again later"),
        ("run_instances", "OptInRequired", "Marketplace"),
    ],
)
def test_a_refusal_of_aws_is_one_message_and_leaves_nothing(
    operation: str, error: str, words: str, aws: Aws, run: Run
) -> None:
    aws.refuse(operation, error, "as you asked")
    code, _, err = run(*LAUNCH, "--yes")
    assert code == 4
    assert f"as you asked ({error})" in err and words in err
    assert err.count("error:") == 1 and err.count("hint:") == 1
    nothing_left(aws)


def test_throttled_requests_are_sent_again(aws: Aws, run: Run) -> None:
    aws.refuse("run_instances", "RequestLimitExceeded", times=2)
    code, _, err = run(*LAUNCH, "--yes", "--timeout", "1")
    assert code == 5, err  # it was made, but never answers
    assert aws.calls == 3
    nothing_left(aws)


@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        ('size = "x9.huge"', 2, "aws.size: eu-central-1 has no x9.huge"),
        ('subnet = "subnet-123"', 2, "InvalidSubnetID.NotFound"),
        ('image = "ami-0123"', 2, "InvalidAMIID"),
        ('size = "t3.small; reboot"', 2, "aws.size"),
        ('allow = ["all"]', 2, "is not a network, such as 198.51.100.0/24"),
        ('allow = ["10.0.0.1/8"]', 2, "is not a network"),
        ('tags = { Name = "x" }', 2, "is set by AWS or notebake"),
    ],
)
def test_settings_that_cannot_be_are_one_message(
    settings: str, code: int, words: str, aws: Aws, run: Run, spec: Path
) -> None:
    spec.write_text(f"{GOLDEN_SPEC}[aws]\n{settings}\n")
    found, _, err = run(*LAUNCH, "--yes")
    assert found == code and words in err and err.count("error:") == 1, err
    nothing_left(aws)


def test_without_a_region_or_credentials(aws: Aws, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    code, _, err = run(*LAUNCH, "--yes")
    assert code == 2 and "aws.region: not set" in err
    monkeypatch.setenv("AWS_DEFAULT_REGION", cloud.REGION)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    code, _, err = run(*LAUNCH, "--yes")
    assert code == 4 and "AWS: found no credentials" in err
    monkeypatch.setenv("AWS_PROFILE", "work")
    code, _, err = run(*LAUNCH, "--yes")
    assert code == 2 and "work" in err and "list-profiles" in err


def test_a_name_that_others_use_is_refused(aws: Aws, run: Run) -> None:
    tags = {"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "class-2"}]}
    boto3.client("ec2").run_instances(ImageId=cloud.IMAGE, MinCount=1, MaxCount=1, TagSpecifications=[tags])
    (other,) = aws.instances()
    code, _, err = run(*LAUNCH, "--yes", "--count", "2", "--name", "class")
    assert code == 2 and "eu-central-1 has an instance class-2 that this notebake did not make" in err
    assert aws.instances() == [other] and aws.calls == 1


def test_user_data_over_the_limit_of_ec2_is_refused_before_anything_is_made(
    aws: Aws, run: Run, spec: Path
) -> None:
    """moto takes 20,000 bytes."""
    # Names that do not compress.
    names = [f"n{hash((number, 'x')):x}.example.org".replace("-", "") for number in range(120)]
    spec.write_text(f"{GOLDEN_SPEC}{SETTINGS}[certificate]\nnames = {json.dumps(names)}\n")
    code, _, err = run(*LAUNCH, "--yes")
    assert code == 2 and "the limit of aws is 16,384" in err
    nothing_left(aws)


def test_delete_and_ps_know_a_machine_that_others_terminated(aws: Aws, run: Run) -> None:
    """A launch that cannot clean up keeps the machine's record; `delete` removes the rest later."""
    aws.refuse("terminate_instances", "UnauthorizedOperation")
    code, _, err = run(*LAUNCH, "--yes", "--timeout", "1", "--name", "one")
    assert code == 4 and "UnauthorizedOperation" in err
    (instance,) = aws.instances()
    code, out, _ = run("ps", "--json")
    assert json.loads(out)[0]["state"] in ("running", "failed")
    aws.refuse("terminate_instances", "", times=0)
    instance.terminate()
    code, out, _ = run("ps", "--json")
    assert json.loads(out)[0]["state"] == "missing"
    assert aws.left() != []  # the security group and the key
    assert run("delete", "--yes", "one")[0] == 0
    nothing_left(aws)


def test_ps_when_the_region_does_not_answer(aws: Aws, run: Run) -> None:
    aws.refuse("terminate_instances", "UnauthorizedOperation")
    run(*LAUNCH, "--yes", "--timeout", "1", "--name", "one")
    aws.refuse("describe_instances", "AuthFailure")
    code, out, _ = run("ps", "--json")
    assert (code, json.loads(out)[0]["state"]) == (0, "unreachable")


@pytest.mark.parametrize("option", ["--memory=512", "--vm", "--platform=qemu", "--port=443", "--offline"])
def test_options_for_other_platforms_are_refused(option: str, run: Run) -> None:
    code, _, err = run(*LAUNCH, option)
    assert code == 2 and "cannot be used together" in err


def test_the_address_of_this_host_is_asked_for(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class Answer(Quiet):
        text = b"198.51.100.7\n"

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.text)

    with serving(Answer) as url:
        monkeypatch.setattr(aws_place, "MY_ADDRESS", url)
        assert aws_place.my_address() == "198.51.100.7/32"
        Answer.text = b"<html>log in to the hotel's network</html>"
        with pytest.raises(Exception, match="your own address is not known"):
            aws_place.my_address()
