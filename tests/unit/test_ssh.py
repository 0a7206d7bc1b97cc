"""The one ssh command line."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from notebake import process
from notebake.ssh import Ssh


def ssh(folder: str = "/state") -> Ssh:
    return Ssh(
        host="127.0.0.1",
        port=2222,
        user="azureuser",
        key=Path(folder, "key"),
        known_hosts=Path(folder, "known"),
    )


@pytest.fixture(autouse=True)
def programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "which", lambda name: Path("/usr/bin", name))


def test_a_command_is_one_word_for_the_machines_shell() -> None:
    argv = ssh().argv("cd /tmp && ls")
    assert argv[:3] == ["/usr/bin/ssh", "-F", "none"]
    assert argv[-3:] == ["--", "127.0.0.1", "cd /tmp && ls"]
    assert ssh().argv()[-2:] == ["--", "127.0.0.1"]


def test_a_program_gets_each_word_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr(process, "run", lambda argv, **named: called.append(argv))
    words = ["echo", "a b", "$(reboot)", "'", ""]
    ssh().run(words, 10)
    assert shlex.split(called[0][-1]) == words


def test_a_folder_may_have_percent_signs_and_spaces() -> None:
    """ssh expands %2 in this option and splits its value at spaces: Jenkins' workspaces have both."""
    assert 'UserKnownHostsFile="/jobs/a%%2Fb c/known"' in ssh("/jobs/a%2Fb c").argv()
