"""The spec's table [updates]: how machines stay up to date."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from notebake.validation import StrictModel

_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


class Updates(StrictModel):
    """How a machine stays up to date. Updates never restart the notebook server: kernels would end."""

    automatic: Literal["security", "all", "none"] = Field(
        "security", description="Updates that the machine installs by itself."
    )
    reboot: str | None = Field(
        None,
        description="Time of the day (HH:MM, the machine's) at which it reboots if an update waits for that; "
        "by default never by itself.",
    )

    @field_validator("reboot")
    @classmethod
    def _time(cls, value: str | None) -> str | None:
        if value is not None and not _TIME.fullmatch(value):
            raise ValueError(f"{value!r} is not a time of the day, as in 04:00")
        return value
