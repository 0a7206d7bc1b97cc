"""Render the HTML report on an image: self-contained, without scripts, every value escaped."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from notebake import webpage
from notebake.record.diff import Difference
from notebake.record.record import Record

_WIDTH = 400  # of the longest step's bar, in units of the chart


def _facts(record: Record) -> list[tuple[str, str]]:
    facts = [
        ("target", record.target),
        ("version", record.version or "not in a catalog yet"),
        ("created", f"{record.created:%Y-%m-%d %H:%M} UTC"),
        ("content id", record.content_id),
        ("disk", f"{record.image.bytes / 1e6:.0f} MB, SHA-256 {record.image.sha256}"),
        ("base image", record.base.url or "built from the distribution's packages"),
        ("tools", ", ".join(f"{name} {version}" for name, version in record.tools.items())),
    ]
    if record.commit:
        facts.append(
            ("commit", record.commit.id + ("" if record.commit.clean else ", with uncommitted changes"))
        )
    return facts


def _bars(record: Record) -> list[dict[str, Any]]:
    longest = max((step.seconds for step in record.steps), default=0) or 1
    return [
        {
            "title": step.step,
            "seconds": round(step.seconds, 1),
            "width": round(step.seconds / longest * _WIDTH, 1),
        }
        for step in record.steps
    ]


def _software(record: Record) -> list[tuple[str, list[tuple[str, str]]]]:
    software = record.software
    return [
        ("Python packages", list(software.python_packages.items())),
        ("OS packages", list(software.os_packages.items())),
        ("listening ports", [(port, "") for port in software.ports]),
        ("units", list(software.units.items())),
        ("users", list(software.users.items())),
        ("setuid files", list(software.setuid.items())),
        ("firewall rules", [(rule, "") for rule in software.firewall]),
    ]


def render(record: Record, *, difference: Difference | None, screenshot: bytes | None) -> bytes:
    """Return the report (UTF-8). `difference`: to the image before. `screenshot`: PNG of the notebook."""
    return webpage.render(
        Path(__file__).parent,
        "page",
        title=f"{record.target} {record.version or record.content_id[:12]}",
        record=record,
        facts=_facts(record),
        bars=_bars(record),
        difference=difference,
        software=_software(record),
        screenshot=base64.b64encode(screenshot).decode() if screenshot else None,
    )
