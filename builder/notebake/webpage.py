"""Render self-contained HTML pages: every value is escaped, and the page's own policy lets nothing load.

A page's template extends webpage.html.j2; its style follows webpage.css, which all pages share.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def size(count: float) -> str:
    """Return a number of bytes for people: `350 B`, `812 kB`, `33.6 MB`, `10.2 GB`. page.js does the same."""
    if abs(count) >= 1e10:
        return f"{count / 1e9:,.1f} GB"
    if abs(count) >= 1e6:
        return f"{count / 1e6:,.1f} MB"
    return f"{count / 1e3:.0f} kB" if abs(count) >= 1e3 else f"{count:.0f} B"


def growth(count: float) -> str:
    """Return a change in bytes: `+812 kB`, `−1.2 MB`, `±0`."""
    if not count:
        return "±0"
    return ("+" if count > 0 else "−") + size(abs(count))


def render(folder: Path, name: str, **values: Any) -> bytes:
    """Return the page (UTF-8) of the template `name`.html.j2 in `folder`.

    `name`.css and `name`.js beside it are its style and its script; both may be missing.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, Path(__file__).parent]),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(size=size, growth=growth)
    style, script = ((folder / f"{name}{suffix}") for suffix in (".css", ".js"))
    common = Path(__file__).with_suffix(".css").read_text("utf-8")
    style_text = common + (style.read_text("utf-8") if style.exists() else "")
    script_text = script.read_text("utf-8") if script.exists() else ""
    allowed = _hash(script_text) if script_text else "'none'"
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style_text)}; script-src {allowed}; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        environment.get_template(f"{name}.html.j2")
        .render(policy=Markup(policy), style=Markup(style_text), script=Markup(script_text), **values)
        .encode("utf-8")
    )
