"""Types of model fields whose values become parts of paths: none of them can lead anywhere else.

No `/` or `\\`, no leading dot, no NUL, no `%` that a server would decode; ASCII only.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

TargetName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9.-]*$")]
Version = Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._+-]*$")]
