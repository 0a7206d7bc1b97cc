"""Generate a part of the reference: commands, fields of notebake.toml, targets, exit codes.

Everything comes from the program itself: click's help, the JSON schema, `notebake targets`, the error
classes. A command or option without help, a field without a description, or an error class without a
docstring raises Undocumented.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner

from notebake import errors
from notebake.cli.main import cli

COMMANDS = "reference/commands"
NAME = "notebake"
# Characters of help texts that Markdown would read as markup.
_MARKUP = re.compile(r"([*<|])")


class Undocumented(Exception):
    """A command, option, field or error has no description."""


def pages() -> dict[str, str]:
    """Return the generated pages: path below docs/ -> text. Raises Undocumented."""
    return {
        f"{COMMANDS}/index.md": command_index(cli),
        "reference/notebake-toml.md": fields(_printed("schema")),
        "reference/exit-codes.md": exit_codes(errors.NotebakeError),
        "reference/targets.md": targets(_printed("targets", "--json")),
        **{f"{COMMANDS}/{name}.md": command_page(command, name) for name, command in subcommands(cli)},
    }


def write(folder: Path) -> None:
    """Write the generated pages below `folder`, the documentation's source. Raises Undocumented."""
    generated = pages()
    for stale in {*(folder / COMMANDS).glob("*.md")} - {folder / path for path in generated}:
        stale.unlink()
    for path, text in generated.items():
        page = folder / path
        page.parent.mkdir(parents=True, exist_ok=True)
        # Keep the time of an unchanged page, so that Sphinx does not read it again.
        if not page.exists() or page.read_text("utf-8") != text:
            page.write_text(text, "utf-8")


def man_pages() -> list[tuple[str, str, str, list[str], int]]:
    """Return Sphinx' man_pages: source, name, summary, authors, section."""
    return [
        (f"{COMMANDS}/index", NAME, "build, launch and verify Jupyter machines", [], 1),
        ("reference/notebake-toml", "notebake.toml", "describe a notebook machine", [], 5),
        *(
            (f"{COMMANDS}/{name}", f"{NAME}-{name}", _summary(command).rstrip("."), [], 1)
            for name, command in subcommands(cli)
        ),
    ]


def subcommands(group: click.Group) -> Iterator[tuple[str, click.Command]]:
    """Yield the visible commands of `group`, in the order of its help."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is not None and not command.hidden:
            yield name, command


def command_index(group: click.Group) -> str:
    """Return a page with the help of `group` and a link to each command."""
    context = click.Context(group, info_name=NAME, terminal_width=88, **group.context_settings)
    names = [name for name, _ in subcommands(group)]
    tree = ["```{toctree}", ":maxdepth: 1", "", *names, "```"]
    return "\n".join(["# Commands", "", "```text", group.get_help(context), "```", "", *tree, ""])


def command_page(command: click.Command, name: str) -> str:
    """Return the page of a command and its subcommands. Raises Undocumented."""
    return "\n".join([f"# {NAME} {name}", "", *_command(command, f"{NAME} {name}", "##")])


def _command(command: click.Command, name: str, heading: str) -> Iterator[str]:
    # Without --help: its line is the same on each page.
    context = click.Context(command, info_name=name, terminal_width=88)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    yield from ["```text", usage, "```", ""]
    if not command.help:
        raise Undocumented(f"{name}: no help")
    yield from _paragraphs(command.help)
    options = []
    for param in command.params:
        if isinstance(param, click.Option) and not param.hidden:
            if not param.help:
                raise Undocumented(f"{name}: {'/'.join(param.opts)}: no help")
            record = param.get_help_record(context)
            assert record is not None
            options += [f"`{record[0]}`", f": {_text(record[1])}", ""]
    if options:
        yield from [f"{heading} Options", "", *options]
    if isinstance(command, click.Group):
        for word, subcommand in subcommands(command):
            yield from [
                f"{heading} {name} {word}",
                "",
                *_command(subcommand, f"{name} {word}", f"{heading}#"),
            ]


def _paragraphs(text: str) -> Iterator[str]:
    r"""Yield the paragraphs of a help text; one that begins with \b is a title and lines of examples."""
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        if paragraph.startswith("\b"):
            title, *lines = paragraph.removeprefix("\b").strip("\n").splitlines()
            yield from [title, "", "```sh", *(line.strip() for line in lines), "```", ""]
        else:
            yield from [_text(paragraph), ""]


def _summary(command: click.Command) -> str:
    return command.get_short_help_str(limit=200)


def _text(text: str) -> str:
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))


def fields(schema: Mapping[str, Any]) -> str:
    """Return the page of the fields of notebake.toml, from its JSON schema. Raises Undocumented."""
    lines = ["# notebake.toml", "", "Every field is optional. Paths are relative to the file's folder.", ""]
    tables: list[str] = []
    rows: list[str] = []
    for name, field in schema["properties"].items():
        if "$ref" not in field or "description" in field:
            rows += _field(name, field, schema)
        tables += _tables(name, field, schema)
    return "\n".join([*lines, "## Top level", "", *rows, *tables])


def _tables(name: str, field: Mapping[str, Any], schema: Mapping[str, Any]) -> list[str]:
    """Return the sections of the tables that a field may hold, and of those within them."""
    lines: list[str] = []
    for kind in (field, *field.get("anyOf", ()), *field.get("oneOf", ())):
        by_name = kind.get("additionalProperties") or {}
        reference = next(
            (one["$ref"] for one in (kind, kind.get("items", {}), by_name) if "$ref" in one), None
        )
        if reference is None:
            continue
        model = _model(schema, reference)
        if not model.get("description"):
            raise Undocumented(f"notebake.toml: [{name}]: no description")
        title = f"[[{name}]]" if "items" in kind else f'[{name}."TARGET"]' if by_name else f"[{name}]"
        lines += [f"## `{title}`", "", model["description"], ""]
        inner: list[str] = []
        for field_name, each in model["properties"].items():
            lines += _field(field_name, each, schema, table=name)
            inner += _tables(f"{name}.{field_name}", each, schema)
        lines += inner
    return lines


def _model(schema: Mapping[str, Any], reference: str) -> dict[str, Any]:
    model: dict[str, Any] = schema["$defs"][reference.rsplit("/", 1)[-1]]
    return model


def _field(name: str, field: Mapping[str, Any], schema: Mapping[str, Any], table: str = "") -> list[str]:
    if not field.get("description"):
        raise Undocumented(f"notebake.toml: {table + '.' if table else ''}{name}: no description")
    default = field.get("default")
    kinds = " or ".join(_kinds(field))
    given = (
        "" if default in (None, []) or isinstance(default, dict) else f" Default: `{json.dumps(default)}`."
    )
    return [f"`{name}` ({kinds})", f": {field['description']}{given}", ""]


def _kinds(field: Mapping[str, Any]) -> Iterator[str]:
    """Yield the types of a field in words, without null: it only means that the field is optional."""
    if "$ref" in field:
        yield "table"
    elif "anyOf" in field or "oneOf" in field:
        for kind in field.get("anyOf") or field["oneOf"]:
            yield from _kinds(kind)
    elif "const" in field or "enum" in field:
        yield ", ".join(f"`{json.dumps(value)}`" for value in field.get("enum", [field.get("const")]))
    elif field["type"] == "array":
        yield f"array of {' or '.join(_kinds(field['items']))}s"
    elif field["type"] == "integer" and "minimum" in field:
        end = f"to {field['maximum']}" if "maximum" in field else "or more"
        yield f"integer, {field['minimum']} {end}"
    elif field["type"] == "object":
        yield "tables"
    elif field["type"] != "null":
        yield field["type"]


def exit_codes(base: type[errors.NotebakeError]) -> str:
    """Return the page of exit codes, from the error classes. Raises Undocumented."""
    rows = {0: "Success."}
    for error in base.__subclasses__():
        if not error.__doc__:
            raise Undocumented(f"{error.__name__}: no docstring")
        rows[error.exit_code] = error.__doc__.splitlines()[0]
    rows[130] = "Stopped by Ctrl-C or SIGTERM."
    table = [f"| {code} | {_text(meaning)} |" for code, meaning in sorted(rows.items())]
    return "\n".join(
        [
            "# Exit codes",
            "",
            "An error is printed on standard error: `error:` and what is wrong, then `hint:` and what to do.",
            "",
            "| code | meaning |",
            "|---|---|",
            *table,
            "",
            "`notebake ssh` ends with the exit code of ssh.",
            "",
        ]
    )


def targets(rows: list[dict[str, Any]]) -> str:
    """Return the page of the targets, from `notebake targets --json`."""
    origin = {
        "mmdebstrap": "made on the host with mmdebstrap",
        "download": "the project's cloud image, downloaded",
        "windows-media": "Microsoft's ISO, which you provide",
    }
    table = [
        f"| `{row['name']}` | {row['title']} | {row['python']['version']} | {row['firewall']} "
        f"| {origin[row['base']['kind']]} |"
        for row in rows
    ]
    return "\n".join(
        [
            "# Targets",
            "",
            "A target is an operating system release. `notebake targets` lists them.",
            "",
            "| target | system | Python | firewall | base image |",
            "|---|---|---|---|---|",
            *table,
            "",
            "[What has been run on what](../explanation/what-has-been-run.md) says what has been tested.",
            "",
        ]
    )


def _printed(*args: str) -> Any:
    """Return the JSON that `notebake ARGS` prints."""
    done = CliRunner().invoke(cli, args, catch_exceptions=False)
    return json.loads(done.stdout)
