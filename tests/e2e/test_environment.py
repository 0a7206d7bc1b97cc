"""The environment of an image, made twice: nothing of the host's settings or clock is in it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from notebake import process
from notebake.bake import environment, wheelhouse
from notebake.bases import base
from notebake.files import sha256
from notebake.plan.plan import Plan
from notebake.progress import Steps
from notebake.provision import files


@contextmanager
def other_settings() -> Iterator[None]:
    """Another user's umask, time zone and language."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"TZ": "Asia/Tokyo", "LANG": "ja_JP.UTF-8", "LC_ALL": "C"}.items():
            patch.setenv(name, value)
        time.tzset()
        before = os.umask(0o077)
        try:
            yield
        finally:
            os.umask(before)
    time.tzset()


def test_umask_locale_and_time_zone_do_not_change_it(
    the_plan: Plan, steps: Steps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    payload = files.build(the_plan)
    log = tmp_path / "log"
    root = base.root(the_plan, steps, log)
    wheels = wheelhouse.fetch(
        the_plan.lock, the_plan.target, the_plan.sources.python, tmp_path / "wheels", log
    )

    def made(cache: str) -> Path:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / cache))
        return environment.make(the_plan, payload, root, wheels, log) / environment.ARCHIVE

    first = made("first")
    with other_settings():
        second = made("second")
    listed = [
        process.run(["tar", "--zstd", "-tvf", path], timeout=60).stdout.decode().splitlines()
        for path in (first, second)
    ]
    assert listed[0] == listed[1]
    assert listed[1][0].startswith("drwxr-xr-x"), "the server's user cannot enter /opt/notebake"
    assert sha256(first) == sha256(second)
