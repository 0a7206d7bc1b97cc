"""OpenVEX 0.2.0 (https://github.com/openvex/spec): vulnerabilities that do not affect an image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from packageurl import PackageURL

from notebake.catalog.vulnerabilities import Finding, Report, read_json
from notebake.errors import RecordError

_STATUSES = {"not_affected", "fixed", "affected", "under_investigation"}
_EXCLUDE = {"not_affected", "fixed"}


def _identifiers(thing: Any) -> list[str]:
    if isinstance(thing, str):
        return [thing]
    return [str(value) for value in (thing.get("@id"), *(thing.get("identifiers") or {}).values()) if value]


def _is_package(identifiers: Iterable[str], finding: Finding) -> bool:
    for text in identifiers:
        if not text.startswith("pkg:"):
            continue
        purl = PackageURL.from_string(text)
        if purl.name == finding.package and purl.version in (None, "", finding.version):
            return True
    return False


def _applies(statement: dict[str, Any], finding: Finding, image: set[str]) -> bool:
    vulnerability = statement["vulnerability"]
    names = {vulnerability["name"], *(vulnerability.get("aliases") or ())}
    if names.isdisjoint({finding.id, *finding.aliases}):
        return False
    for product in statement["products"]:
        identifiers = _identifiers(product)
        parts = [] if isinstance(product, str) else product.get("subcomponents") or []
        if _is_package(identifiers, finding):
            return True
        if not image.isdisjoint(identifiers) and (
            not parts or any(_is_package(_identifiers(part), finding) for part in parts)
        ):
            return True
    return False


def _statements(path: Path) -> Iterator[dict[str, Any]]:
    content = read_json(path, "an OpenVEX document")
    if not str(content.get("@context", "")).startswith("https://openvex.dev/ns"):
        raise RecordError(
            f"{path}: not an OpenVEX document", 'its "@context" must name https://openvex.dev/ns'
        )
    for statement in content["statements"]:
        if statement["status"] not in _STATUSES:
            raise RecordError(f"{path}: status {statement['status']!r} is not one of OpenVEX")
        if statement["status"] == "not_affected" and not (
            statement.get("justification") or statement.get("impact_statement")
        ):
            raise RecordError(f"{path}: not_affected needs a justification or an impact_statement")
        yield {"timestamp": content.get("timestamp", "")} | statement


def apply(report: Report, paths: Iterable[Path], image: set[str]) -> Report:
    """Return the report with the vulnerabilities marked that a VEX statement excludes.

    Of several statements on one vulnerability the newest counts. `image`: names of the image as a product.
    Raises RecordError.
    """
    statements = []
    for path in paths:
        try:
            rows = list(_statements(path))
            for row in rows:  # find what is malformed, even if no finding asks for it
                _applies(row, Finding(id=str(row["vulnerability"]["name"]), severity="none"), image)
            statements += rows
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RecordError(f"{path}: not a valid OpenVEX document: {error!r}") from None
    statements.sort(key=lambda row: str(row["timestamp"]))
    findings = []
    for finding in report.findings:
        last = [row["status"] for row in statements if _applies(row, finding, image)][-1:]
        vex = last[0] if last and last[0] in _EXCLUDE else ""
        findings.append(finding.model_copy(update={"vex": vex}))
    return report.model_copy(update={"findings": tuple(findings)})
