"""The spec's tables on clouds: what is the same for each machine that is launched there."""

from __future__ import annotations

import ipaddress

from pydantic import Field, field_validator

from notebake.validation import StrictModel

# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html#tag-restrictions, less those we set
_TAGS = 45


class Aws(StrictModel):
    """Machines in AWS EC2. Credentials are found by boto3, never here."""

    region: str | None = Field(
        None, pattern=r"^[a-z0-9-]+$", description="Region, such as eu-central-1.  [default: boto3's]"
    )
    size: str = Field(
        "t3.small", pattern=r"^[a-z0-9.-]+$", description="Instance type: x86-64, 2 GiB or more."
    )
    image: str | None = Field(
        None,
        pattern=r"^ami-[0-9a-f]+$",
        description="AMI to start with user-data only.  [default: the newest of the target's publisher]",
    )
    subnet: str | None = Field(
        None, pattern=r"^subnet-[0-9a-f]+$", description="Subnet.  [default: one of the default VPC]"
    )
    public: bool = Field(
        True, strict=True, description="Give each machine a public address; false: use its private one."
    )
    allow: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="Networks that may reach the notebook and ssh (CIDR).  [default: your own address]",
    )
    tags: dict[str, str] = Field({}, description="Tags on everything that is created.")

    @field_validator("allow")
    @classmethod
    def _networks(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for each in value or ():
            try:
                ipaddress.ip_network(each)
            except ValueError as error:
                raise ValueError(f"{each!r} is not a network, such as 198.51.100.0/24: {error}") from None
        return value

    @field_validator("tags")
    @classmethod
    def _tags(cls, value: dict[str, str]) -> dict[str, str]:
        if len(value) > _TAGS:
            raise ValueError(f"at most {_TAGS} tags")
        for key, text in value.items():
            if not 1 <= len(key) <= 128 or len(text) > 256:
                raise ValueError(f"{key!r}: a key has 1 to 128 characters, a value at most 256")
            if key.lower().startswith("aws:") or key in ("Name", "notebake"):
                raise ValueError(f"{key!r} is set by AWS or notebake")
        return value
