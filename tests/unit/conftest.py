"""Unit tests start no program: one that tries fails."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from notebake import content


@pytest.fixture(autouse=True)
def no_subprocess(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError(f"a unit test started a program: {args}")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    # A content id asks programs for their versions.
    monkeypatch.setattr(content, "_tool", lambda name, flag: "1.0")
