"""One self-contained HTML page about an image: no script, nothing fetched, every value escaped."""

from __future__ import annotations

import base64
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from notebake.record.diff import Difference
from notebake.record.record import Record

_WIDTH = 400  # units of the chart that the longest step takes


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
    )
    return environment.get_template("page.html.j2")


def _facts(record: Record) -> list[tuple[str, str]]:
    found = [
        ("target", record.target),
        ("version", record.version or "not in a catalog yet"),
        ("made", f"{record.created:%Y-%m-%d %H:%M} UTC"),
        ("content id", record.content_id),
        ("disk", f"{record.image.bytes / 1e6:.0f} MB, SHA-256 {record.image.sha256}"),
        ("base", record.base.url or "made here from the release's packages"),
        ("tools", ", ".join(f"{name} {version}" for name, version in record.tools.items())),
    ]
    if record.commit:
        found.append(("commit", record.commit.id + ("" if record.commit.clean else ", with changes")))
    return found


def _bars(record: Record) -> list[dict[str, Any]]:
    longest = max((item.seconds for item in record.steps), default=0) or 1
    return [
        {
            "title": item.step,
            "seconds": round(item.seconds, 1),
            "width": round(item.seconds / longest * _WIDTH, 1),
        }
        for item in record.steps
    ]


def _software(record: Record) -> list[tuple[str, list[tuple[str, str]]]]:
    found = record.software
    return [
        ("Python packages", list(found.python_packages.items())),
        ("OS packages", list(found.os_packages.items())),
        ("listening ports", [(item, "") for item in found.ports]),
        ("units", list(found.units.items())),
        ("users", list(found.users.items())),
        ("setuid files", list(found.setuid.items())),
        ("firewall rules", [(item, "") for item in found.firewall]),
    ]


def render(record: Record, *, difference: Difference | None, screenshot: bytes | None) -> bytes:
    """The page (UTF-8). `difference` is to the version before, `screenshot` a PNG of the notebook."""
    return (
        _template()
        .render(
            title=f"{record.target} {record.version or record.content_id[:12]}",
            record=record,
            facts=_facts(record),
            bars=_bars(record),
            difference=difference,
            software=_software(record),
            screenshot=base64.b64encode(screenshot).decode() if screenshot else None,
        )
        .encode("utf-8")
    )
