"""Jinja2 over the template files under cloud-init/ and builder/notebake/ci/, and the encoders that values go through.

The delimiters are `[[ ]]` and `[% %]`: they collide with none of HCL's `${}`, Packer's and
cloud-init's `{{ }}`, or shell.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import yaml

from notebake import paths

_LITERAL = re.compile(r"(?! )[\t -~\n]*\n")


def to_yaml(value: str, indent: int = 0) -> str:
    """A YAML scalar that loads as just `value`: a literal block where it can be one, else double-quoted.

    `indent`: how many spaces the lines of a literal block get.
    """
    plain = _LITERAL.fullmatch(value) and not value.startswith("\n") and not value.endswith("\n\n")
    if indent and plain:
        lines = value.split("\n")[:-1]
        return "|\n" + "\n".join(" " * indent + line if line else "" for line in lines)
    return yaml.safe_dump(value, default_style='"', width=1 << 30).rstrip("\n")


def to_json(value: Any) -> str:
    """JSON that is also a YAML flow collection: ASCII, with escapes that both read alike."""
    if isinstance(value, str):
        return to_yaml(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{to_yaml(key)}: {to_json(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(to_json(item) for item in value) + "]"
    return json.dumps(value)


def to_comment(value: str) -> str:
    """`value` on one line, printable, for behind a `#`."""
    return re.sub(r"[^ -~]", "?", value)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([paths.data_folder("cloud-init"), Path(__file__).parent / "ci"]),
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
    environment.filters.update(yaml=to_yaml, json=to_json, comment=to_comment)
    return environment


def render(name: str, **values: Any) -> bytes:
    """The template `name` with `values`; an undefined one is an error."""
    return _environment().get_template(name).render(**values).encode("utf-8")
