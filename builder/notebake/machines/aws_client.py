"""boto3, and what goes wrong with it in the user's words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from notebake.errors import CommandFailed, MissingTool, NotebakeError, SpecError

# Error codes: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
_HINTS = {
    "ExpiredToken": "log in again: aws sso login, or renew the credentials",
    "RequestExpired": "log in again: aws sso login; is this host's clock right?",
    "AuthFailure": "check: aws sts get-caller-identity; is the region enabled in the account?",
    "InvalidClientTokenId": "check the credentials: aws sts get-caller-identity",
    "SignatureDoesNotMatch": "check the credentials: aws sts get-caller-identity",
    "UnauthorizedOperation": "the credentials lack a permission; the documentation lists those needed",
    "AccessDenied": "the credentials lack a permission; the documentation lists those needed",
    "VcpuLimitExceeded": "delete machines, set a smaller aws.size, or ask AWS for a higher quota",
    "InstanceLimitExceeded": "delete machines, or ask AWS for a higher quota",
    "SecurityGroupLimitExceeded": "delete machines, or ask AWS for a higher quota",
    "VolumeLimitExceeded": "delete machines, or ask AWS for a higher quota",
    "InsufficientInstanceCapacity": "try again later, or set another aws.size or aws.subnet",
    "InsufficientFreeAddressesInSubnet": "set another aws.subnet",
    "OptInRequired": "accept the image's terms in the AWS Marketplace, or set aws.image",
    "Unsupported": "set another aws.size or aws.subnet",
    "RequestLimitExceeded": "AWS limits the rate of requests; try again with a smaller --count",
    "Throttling": "AWS limits the rate of requests; try again with a smaller --count",
    "InvalidAMIID.NotFound": "an AMI's id is valid in one region only; check aws.region",
    "InvalidAMIID.Malformed": "an AMI's id is ami- and 17 hex digits",
    "InvalidSubnetID.NotFound": "a subnet's id is valid in one region only; check aws.region",
}
_OF_THE_SPEC = ("InvalidAMIID", "InvalidSubnetID")


def session(region: str | None) -> Any:
    """Return boto3's session in `region`, by default its own. Raises MissingTool, SpecError."""
    try:
        import boto3
    except ModuleNotFoundError:
        raise MissingTool("AWS: requires boto3", "pip install 'notebake[aws]'") from None
    with explained("start boto3"):
        found = boto3.session.Session(region_name=region)
    if found.region_name is None:
        raise SpecError("aws.region: not set", "set `region` in [aws] of notebake.toml, or AWS_REGION")
    return found


def client(session: Any, service: str) -> Any:
    """Return the session's client for `service`; it tries each request up to 8 times."""
    from botocore.config import Config

    retries = {"mode": "standard", "total_max_attempts": 8}
    with explained(f"start boto3 for {service}"):
        return session.client(service, config=Config(retries=retries, connect_timeout=10, read_timeout=60))


def ec2(region: str) -> Any:
    """Return the client for EC2 in `region`. Raises as `session`."""
    return client(session(region), "ec2")


def code(error: BaseException) -> str:
    """Return the code of AWS for an error, empty for one that did not come from there."""
    response = getattr(error, "response", None)
    return str(response["Error"]["Code"]) if isinstance(response, dict) else ""


@contextmanager
def explained(work: str) -> Iterator[None]:
    """Turn boto3's errors in the block into ours; `work` says what failed: "create the security group"."""
    from botocore import exceptions, parsers

    try:
        yield
    except exceptions.ClientError as error:
        raise _refused(work, error) from None
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError):
        raise CommandFailed(
            "AWS: found no credentials", "aws configure, aws sso login, or AWS_PROFILE"
        ) from None
    except exceptions.ProfileNotFound as error:
        raise SpecError(f"AWS: {error}", "aws configure list-profiles") from None
    except exceptions.WaiterError as error:
        raise CommandFailed(
            f"AWS: cannot {work}: {error}", "is the region in trouble? health.aws.amazon.com"
        ) from None
    except (exceptions.ConnectionError, exceptions.HTTPClientError, parsers.ResponseParserError) as error:
        raise CommandFailed(
            f"AWS: cannot {work}: {error}", "check the network, the proxy, and the region's name"
        ) from None
    except exceptions.BotoCoreError as error:  # SSO that is over, a credential_process that fails, ...
        raise CommandFailed(f"AWS: cannot {work}: {error}", "check: aws sts get-caller-identity") from None


def _refused(work: str, error: Any) -> NotebakeError:
    found = code(error)
    message = f"AWS: cannot {work}: {error.response['Error'].get('Message') or found} ({found})"
    hint = _HINTS.get(found)
    return (SpecError if found.startswith(_OF_THE_SPEC) else CommandFailed)(message, hint)
