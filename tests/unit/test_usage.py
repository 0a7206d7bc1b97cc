"""Help and usage errors: one summary for each command, none cut; one shape for every error."""

from __future__ import annotations

import re

import pytest
from tests.conftest import Run

from notebake.cli.main import SECTIONS, SUMMARIES


@pytest.mark.parametrize(
    ("args", "problem", "hint"),
    [
        (["bkae"], "no such command 'bkae'", "see `notebake --help`"),
        (["catalog", "keys"], "no such command 'keys'", "see `notebake catalog --help`"),
        (["bake", "debian-13", "--fast"], "no such option '--fast'", "see `notebake bake --help`"),
        (["bake"], "missing argument 'TARGET'", "see `notebake bake --help`"),
        (["ci"], "missing argument '{github|gitlab|azure-pipelines}'", "see `notebake ci --help`"),
        (["bake", "debian-13", "-s"], "option '-s' requires an argument", "see `notebake --help`"),
        (["bake", "debian-13", "more"], "got unexpected extra argument", "see `notebake bake --help`"),
        (["launch", "--cpus", "0"], "invalid value for '--cpus'", "see `notebake launch --help`"),
        (["launch", "--accel", "fast"], "invalid value for '--accel'", "see `notebake launch --help`"),
        (["diff", "a", "b", "--markdown", "--json"], "cannot be used together", "see `notebake diff --help`"),
        (["bake", "debian-14"], "target 'debian-14': no such target", "the targets are: debian-13"),
        (["stop"], "give the names of machines, a pattern such as 'class-*', or --all",
         "`notebake ps` lists the machines"),
    ],
)  # fmt: skip
def test_a_usage_error_is_one_error_and_one_hint(run: Run, args: list[str], problem: str, hint: str) -> None:
    run("init", "--no-password")
    code, out, err = run(*args)
    assert (code, out) == (2, "")
    lines = re.fullmatch(r"error: (?P<error>.+)\nhint: (?P<hint>.+)\n", err, re.DOTALL)
    assert lines, err
    assert problem in lines["error"] and lines["hint"].startswith(hint)
    assert not lines["error"].endswith(".") and not re.search("usage|try ", err, re.IGNORECASE)


def test_notebake_alone_prints_its_help(run: Run) -> None:
    assert run()[2] == run("--help")[1]


def test_the_help_groups_all_commands_and_cuts_no_summary(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = run("--help")[1].splitlines()
    for title, commands in SECTIONS.items():
        start = lines.index(f"{title}:") + 1
        rows = [line.split(maxsplit=1) for line in lines[start : start + len(commands)]]
        assert rows == [[name, summary] for name, summary in commands.items()]
    assert sorted(SUMMARIES) == sorted(name for commands in SECTIONS.values() for name in commands)


def test_the_help_of_the_catalog_cuts_no_summary(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    rows = run("catalog", "--help")[1].split("Commands:\n")[1].splitlines()
    assert len(rows) == 9 and [row for row in rows if not row.endswith(".") or row.endswith("...")] == []


@pytest.mark.parametrize("name", SUMMARIES)
def test_the_help_of_a_command_begins_with_its_summary_and_has_it_once(run: Run, name: str) -> None:
    for _ in range(2):  # click calls get_command more than once
        text = run(name, "--help")[1]
        assert " ".join(text.split("\n\n")[1].split()) == SUMMARIES[name]
        assert text.count(SUMMARIES[name][:30]) == 1
