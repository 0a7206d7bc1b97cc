"""The SELinux step with stand-ins that record their calls: there is no SELinux on the test host."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from notebake import paths

STAND_IN = '#!/bin/sh\necho "$(basename "$0") $*" >>"{log}"\nexit {code}\n'


@pytest.fixture
def labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Return a function that runs the step with stand-ins (program=exit code) and returns their calls."""
    for folder in ("zypper", "linux"):
        monkeypatch.syspath_prepend(str(paths.data_folder("cloud-init") / folder))
    for name in ("machine", "paths", "selinux"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import selinux

    def run(**codes: int) -> list[str]:
        log = tmp_path / "log"
        for name, code in codes.items():
            (tmp_path / name).write_text(STAND_IN.format(log=log, code=code))
            (tmp_path / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        selinux.step({"port": 9999})
        return log.read_text().splitlines() if log.exists() else []

    return run


def test_files_and_port_are_labelled(labels: Callable[..., list[str]]) -> None:
    assert labels(selinuxenabled=0, restorecon=0, semanage=0) == [
        "selinuxenabled ",
        "restorecon -R /opt/notebake /var/lib/notebake /etc/systemd/system /etc/jupyter",
        "semanage port -a -t http_port_t -p tcp 9999",
    ]


def test_a_port_that_has_a_label_is_modified(labels: Callable[..., list[str]], tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="semanage: exit code 1"):
        labels(selinuxenabled=0, restorecon=0, semanage=1)
    assert (tmp_path / "log").read_text().endswith("semanage port -m -t http_port_t -p tcp 9999\n")


def test_nothing_is_labelled_without_selinux(labels: Callable[..., list[str]]) -> None:
    assert labels(selinuxenabled=1, restorecon=0, semanage=0) == ["selinuxenabled "]
    assert labels() == ["selinuxenabled ", "selinuxenabled "]
