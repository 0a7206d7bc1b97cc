"""The documentation: undocumented options are errors; quoted commands exist and print what is quoted."""

from __future__ import annotations

import copy
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from docs import generate
from tests.conftest import Run

from notebake import errors
from notebake.bases import releases
from notebake.cli.main import cli

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def test_every_command_and_option_is_in_the_reference() -> None:
    pages = generate.pages()
    for words, command in _commands(cli, ()):
        page = pages[f"reference/commands/{words[0]}.md"]
        assert f"notebake {' '.join(words)}" in page
        for option in _options(command):
            assert option in page, (words, option)


def test_an_option_without_help_is_refused() -> None:
    command = click.Command("bake", help="Bake.", params=[click.Option(["--fast"])])
    with pytest.raises(generate.Undocumented, match="bake: --fast: no help"):
        generate.command_page(command, "bake")
    command.params[0].hidden = True  # type: ignore[attr-defined]
    assert "--fast" not in generate.command_page(command, "bake")


def test_a_command_without_help_is_refused() -> None:
    group = click.Group("catalog", help="Manage.", commands={"add": click.Command("add")})
    with pytest.raises(generate.Undocumented, match="notebake catalog add: no help"):
        generate.command_page(group, "catalog")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (("properties", "user"), "user"),
        (("$defs", "Notebook", "properties", "port"), r"notebook\.port"),
        (("$defs", "Mirrors", "properties", "apt"), r"mirrors\.apt"),
        (("$defs", "Windows"), r"\[windows\]"),
    ],
)
def test_a_field_without_description_is_refused(run: Run, path: tuple[str, ...], name: str) -> None:
    schema = json.loads(run("schema")[1])
    generate.fields(schema)
    field = schema = copy.deepcopy(schema)
    for part in path:
        field = field[part]
    del field["description"]
    with pytest.raises(generate.Undocumented, match=f"notebake.toml: {name}: no description"):
        generate.fields(schema)


def test_an_exit_code_without_meaning_is_refused() -> None:
    class Base(Exception):
        pass

    class Silent(Base):
        exit_code = 9

    with pytest.raises(generate.Undocumented, match="Silent"):
        generate.exit_codes(Base)  # type: ignore[arg-type]
    for code in sorted(error.exit_code for error in errors.NotebakeError.__subclasses__()):
        assert f"| {code} |" in generate.exit_codes(errors.NotebakeError)


def test_every_field_of_a_record_is_documented(run: Run) -> None:
    schema = json.loads(run("schema", "--record")[1])
    page = (DOCS / "reference/record.md").read_text()
    for model in [schema, *schema["$defs"].values()]:
        for name in model["properties"]:
            assert f"`{name}`" in page, name


def test_every_check_is_documented(run: Run) -> None:
    _, _, err = run("probe", "https://127.0.0.1:1/", "--check", "none", "--token-stdin", stdin="token")
    names = re.findall(r"[a-z_]+", err.split("hint: the checks are")[1])
    page = (DOCS / "reference/checks.md").read_text()
    assert names and [name for name in names if f"| `{name}` |" not in page] == []


def test_quoted_commands_exist() -> None:
    generated = generate.pages()
    written = [path for path in DOCS.rglob("*.md") if path.relative_to(DOCS).as_posix() not in generated]
    for page in [*ROOT.glob("*.md"), *written]:
        for line in _quoted(page.read_text()):
            command, words = _command(shlex.split(line, comments=True))
            options = {word.split("=")[0] for word in words if word.startswith("-") and word != "-"}
            assert command.name == "ssh" or options <= {*_options(command)}, f"{page}: {line}"


def _command(words: list[str]) -> tuple[click.Command, list[str]]:
    """Return the command that `words` name, and the words after it."""
    command: click.Command = cli
    while isinstance(command, click.Group) and words:
        subcommand = command.get_command(click.Context(command), words[0])
        assert subcommand is not None, f"no such command: {' '.join(words)}"
        command, words = subcommand, words[1:]
    return command, words


def test_readme_is_short_and_quotes_real_output(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "README.md").read_text()
    sources = [
        releases.Release(name=name, digest="0" * 64, date=date, read=date)
        for name, date in re.findall(r"(trixie\S*) of ([-0-9]+)", text)
    ]
    monkeypatch.setattr(releases, "read", lambda plan, *, offline=False: tuple(sources))
    assert len(text.splitlines()) <= 120
    ran = 0
    for kind, block in re.findall(r"```(console|toml)\n(.*?)```", text, re.DOTALL):
        if kind == "toml":
            (tmp_path / "notebake.toml").write_text(block)
            continue
        for line, output in re.findall(r"^\$ notebake (.*)\n((?:(?!\$).*\n)*)", block, re.MULTILINE):
            code, out, _ = run(*shlex.split(line))
            assert (code, _without_numbers(out)) == (0, _without_numbers(output))
            ran += 1
    assert ran == 3


def _without_numbers(text: str) -> str:
    """Return `text` without sizes and content ids, which change with every change of a file."""
    return re.sub(r"\b[0-9a-f]{12}\b|[0-9][0-9,]*", "N", text)


def _quoted(text: str) -> Iterator[str]:
    """Yield the `notebake ...` commands in code blocks and inline code."""
    for block in re.findall(r"```(?:sh|console)\n(.*?)```", text, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if match := re.search(r"(?:^|&& |do |\$ )\s*notebake (.*?)(?: [|&<>].*|; do.*)?$", line.strip()):
                yield match[1]
    yield from re.findall(r"`notebake ([^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def _commands(group: click.Group, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in generate.subcommands(group):
        yield (*words, name), command
        if isinstance(command, click.Group):
            yield from _commands(command, (*words, name))


def _options(command: click.Command) -> Iterator[str]:
    for param in command.params:
        if isinstance(param, click.Option) and not param.hidden:
            yield from param.opts
