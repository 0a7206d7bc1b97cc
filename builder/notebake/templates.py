"""Render the Jinja2 templates of cloud-init/ and of the packages `ci` and `export`, and encode their values.

The delimiters are `[[ ]]` and `[% %]`: they do not clash with HCL's `${}`, with the `{{ }}` of Packer and
cloud-init, or with shell syntax.
"""

from __future__ import annotations

import json
import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import yaml

from notebake import paths

_LITERAL = re.compile(r"(?! )[\t -~\n]*\n")


def to_yaml(value: str, indent: int = 0) -> str:
    """Return a YAML scalar that loads as `value`.

    With `indent` (spaces), a literal block with its lines indented, if `value` allows it; else double-quoted.
    """
    literal = _LITERAL.fullmatch(value) and not value.startswith("\n") and not value.endswith("\n\n")
    if indent and literal:
        lines = value.split("\n")[:-1]
        return "|\n" + "\n".join(" " * indent + line if line else "" for line in lines)
    return yaml.safe_dump(value, default_style='"', width=1 << 30).rstrip("\n")


def to_json(value: Any) -> str:
    """Return JSON that is also a YAML flow collection: ASCII, with escapes that are the same in both."""
    if isinstance(value, str):
        return to_yaml(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{to_yaml(key)}: {to_json(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(to_json(item) for item in value) + "]"
    return json.dumps(value)


def to_comment(value: str) -> str:
    """Return `value` on one line for a `#` comment; other than printable ASCII becomes `?`."""
    return re.sub(r"[^ -~]", "?", value)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(
            [paths.data_folder("cloud-init"), *(Path(__file__).parent / name for name in ("ci", "export"))]
        ),
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        variable_start_string="[[",
        variable_end_string="]]",
        block_start_string="[%",
        block_end_string="%]",
        comment_start_string="[#",
        comment_end_string="#]",
    )
    environment.filters.update(yaml=to_yaml, json=to_json, comment=to_comment, shell=shlex.quote)
    return environment


def render(name: str, **values: Any) -> bytes:
    """Render the template `name` with `values` (UTF-8). An undefined value is an error."""
    return _environment().get_template(name).render(**values).encode("utf-8")
