"""What the host makes for an image: nothing of the host's own is in it, and nothing is left on the host."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from notebake import process
from notebake.bake import disk, environment, wheelhouse
from notebake.bases import base, mmdebstrap
from notebake.errors import CommandFailed
from notebake.files import sha256
from notebake.plan.plan import Plan
from notebake.plan.targets import Mmdebstrap
from notebake.progress import Steps
from notebake.provision import files
from notebake.provision.files import Payload


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


# What differs between two machines that were set up one after the other.
SECRET = re.compile(r"etc/(ssh/ssh_host_.*|g?shadow-?)|var/cache/ldconfig/aux-cache")


def prepared(
    plan: Plan, payload: Payload, steps: Steps, folder: Path, patch: pytest.MonkeyPatch
) -> dict[str, tuple[str, bytes]]:
    """Return what the host makes a disk of: path -> kind, mode and owner, and the content below /etc."""
    found = {}

    def look(*, tree: Path, **_: object) -> None:
        for path in tree.rglob("*"):
            status, name = path.lstat(), str(path.relative_to(tree))
            known = name.startswith("etc/") and path.is_file() and not path.is_symlink()
            found[name] = (
                f"{status.st_mode:o} {status.st_uid} {status.st_gid}",
                path.read_bytes() if known and not SECRET.fullmatch(name) else b"",
            )

    patch.setattr(mmdebstrap, "make_raw_disk", look)
    log = folder / "log"
    log.touch()
    assert isinstance(plan.target.base, Mmdebstrap)
    wheels = wheelhouse.fetch(plan.lock, plan.target, plan.sources.python, folder / "wheels", log)
    disk.make(
        plan, plan.target.base, payload, root=base.root(plan, steps, log), identity="", wheelhouse=wheels,
        key="ssh-ed25519 AAAA", folder=folder, steps=steps, log=log,
    )  # fmt: skip
    return found


def test_umask_locale_and_time_zone_do_not_change_a_disk(
    the_plan: Plan, steps: Steps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    payload = files.build(the_plan)
    first = prepared(the_plan, payload, steps, tmp_path, monkeypatch)
    with other_settings():
        second = prepared(the_plan, payload, steps, tmp_path, monkeypatch)
    assert first == second
    assert {"etc/hostname", "usr/sbin/policy-rc.d", "var/tmp/report.py"} & first.keys() == set()
    assert first["etc/machine-id"][1] == b""
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()


def test_a_failed_set_up_on_the_host_names_its_step(
    the_plan: Plan, steps: Steps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = b"def firewall(port):\n    raise SystemExit('no rules')\n"
    found = tuple(
        replace(file, data=broken) if file.path == "firewall.py" else file
        for file in files.build(the_plan).files
    )
    with pytest.raises(CommandFailed, match="failed at: set up the disk") as caught:
        prepared(the_plan, Payload(files=found), steps, tmp_path, monkeypatch)
    assert "setup failed at firewall: no rules" in caught.value.message
    assert str(tmp_path / "log") in str(caught.value.hint)
