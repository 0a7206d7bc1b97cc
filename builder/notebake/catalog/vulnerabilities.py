"""Known vulnerabilities of an image, from a scanner's report, and the gate: the highest severity allowed.

Formats: JSON of grype and of osv-scanner, SARIF 2.1.0. severities.toml says how severities are understood.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import Field

from notebake import documents, validation
from notebake.documents import DocumentError
from notebake.errors import CheckFailed, RecordError
from notebake.record.record import Record
from notebake.validation import StrictModel

SEVERITIES = ("none", "negligible", "low", "medium", "high", "critical")
_SHOWN = 10
# In the id of a SARIF rule: grype adds the package, CVE-2026-1234-openssl.
_ID = re.compile(r"CVE-\d{4}-\d+|GHSA(?:-[a-z0-9]{4}){3}")


class Finding(StrictModel):
    """One vulnerability of one package. `package`, `version`: empty where the report does not say them."""

    id: str
    aliases: tuple[str, ...] = ()
    package: str = ""
    version: str = ""
    severity: str = Field(pattern=f"^({'|'.join(SEVERITIES)})$")
    fixed_in: str = ""
    vex: str = Field("", description="The status in a VEX statement because of which it does not count.")

    @property
    def text(self) -> str:
        """ID (severity) in PACKAGE VERSION."""
        where = f" in {self.package} {self.version}".rstrip() if self.package else ""
        return f"{self.id} ({self.severity}){where}{f', fixed in {self.fixed_in}' if self.fixed_in else ''}"


class Report(StrictModel):
    """What a scanner found in one image."""

    format: int = 1
    scanner: str
    findings: tuple[Finding, ...]

    def to_json(self) -> bytes:
        """Return the bytes of the file in the catalog."""
        return (json.dumps(self.model_dump(mode="json"), indent=1) + "\n").encode()


@cache
def _rule() -> dict[str, Any]:
    return documents.load_toml(Path(__file__).with_name("severities.toml"))


def _named(name: object) -> str:
    text = str(name or "").lower()
    text = _rule()["names"].get(text, text)
    return text if text in SEVERITIES[1:] else str(_rule()["unknown"])


def _scored(score: object) -> str:
    try:
        value = float(str(score))
    except ValueError:
        return str(_rule()["unknown"])
    found = [name for name, lowest in _rule()["cvss"].items() if value >= lowest]
    return str(found[-1]) if found else str(_rule()["unknown"])


def _clean(value: object) -> str:
    """Return a text of a report for one line: without control characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(value or ""))[:300]


def _aliases(known_as: object, names: Iterable[object]) -> tuple[str, ...]:
    """Return the other names: scanners repeat the id among them."""
    return tuple(dict.fromkeys(_clean(name) for name in names if name != known_as))


def _grype(content: dict[str, Any]) -> Iterator[Finding]:
    for match in content["matches"]:
        known, package = match["vulnerability"], match["artifact"]
        yield Finding(
            id=_clean(known["id"]),
            aliases=_aliases(known["id"], (row["id"] for row in match.get("relatedVulnerabilities") or ())),
            package=_clean(package["name"]),
            version=_clean(package["version"]),
            severity=_named(known.get("severity")),
            fixed_in=_clean(", ".join((known.get("fix") or {}).get("versions") or ())),
        )


def _osv(content: dict[str, Any]) -> Iterator[Finding]:
    for row in (row for source in content["results"] or () for row in source["packages"]):
        for group in row.get("groups") or ():
            first, *others = group["ids"]
            yield Finding(
                id=_clean(first),
                aliases=_aliases(first, [*others, *(group.get("aliases") or ())]),
                package=_clean(row["package"]["name"]),
                version=_clean(row["package"].get("version")),
                severity=_scored(group.get("max_severity")),
            )


def _sarif(content: dict[str, Any]) -> Iterator[Finding]:
    for run in content["runs"]:
        rules = {rule["id"]: rule for rule in run["tool"]["driver"].get("rules") or ()}
        for result in run.get("results") or ():
            if result.get("suppressions") or result.get("kind", "fail") != "fail":
                continue
            name = result.get("ruleId") or result["rule"]["id"]
            rule = rules.get(name, {})
            score = rule.get("properties", {}).get("security-severity")
            level = result.get("level") or rule.get("defaultConfiguration", {}).get("level") or "warning"
            yield Finding(
                id=_clean(name),
                aliases=_aliases(name, _ID.findall(name)),
                severity=_scored(score)
                if score is not None
                else _rule()["sarif"].get(level, _rule()["unknown"]),
            )


_FORMATS = {"matches": ("grype", _grype), "results": ("osv-scanner", _osv), "runs": ("SARIF", _sarif)}


def read_json(path: Path, what: str) -> dict[str, Any]:
    """Return the JSON object in the file `path`; `what` names it in messages. Raises RecordError."""
    try:
        content = documents.load_json(path)
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {error.strerror}") from None
    except DocumentError as error:
        raise RecordError(f"{path}: not {what}: {error}", "the scanner must write JSON") from None
    if not isinstance(content, dict):
        raise RecordError(f"{path}: not {what}: not a JSON object")
    return content


def read(path: Path) -> Report:
    """Read a scanner's report. Raises RecordError."""
    content = read_json(path, "a scanner's report")
    for key, (scanner, findings) in _FORMATS.items():
        if key in content:
            try:
                return Report(scanner=scanner, findings=tuple(dict.fromkeys(findings(content))))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise RecordError(f"{path}: not a valid report of {scanner}: {error!r}") from None
    raise RecordError(
        f"{path}: not a report of grype, osv-scanner or in SARIF",
        "for example: grype sbom:debian-13.cdx.json -o json > vulnerabilities.json",
    )


def parse(data: bytes, *, source: str) -> Report:
    """Parse the file that `Report.to_json` returned. Raises RecordError."""
    try:
        return validation.parse(Report, data)
    except DocumentError as error:
        raise RecordError(f"{source}: not known vulnerabilities: {error}") from None


def check_subject(report: Report, record: Record, *, source: str) -> None:
    """Raise RecordError if the report names a package in a version that the image does not have."""

    def key(name: str, version: str) -> tuple[str, str]:
        return re.sub(r"[-_.]+", "-", name).lower(), re.sub(r"^\d+:", "", version)

    software = record.software
    known = {key(name.split(":")[0], version) for name, version in software.os_packages.items()}
    known |= {key(*row) for row in software.python_packages.items()}
    for name, origin in software.os_origins.items():
        versions = origin.source_version, software.os_packages[name]
        known |= {key(origin.source, version) for version in versions}
    for finding in report.findings:
        if finding.package and finding.version and key(finding.package, finding.version) not in known:
            raise RecordError(
                f"{source}: not a report on this image, which has no {finding.package} {finding.version}",
                "scan the SBOM beside the image: TARGET.cdx.json",
            )


def gate(report: Report, highest: str, *, name: str) -> None:
    """Raise CheckFailed if a vulnerability is above `highest`, unless a VEX statement excludes it."""
    limit = SEVERITIES.index(highest)
    above = [row for row in report.findings if not row.vex and SEVERITIES.index(row.severity) > limit]
    if not above:
        return
    above.sort(key=lambda row: (-SEVERITIES.index(row.severity), row.id))
    shown = "; ".join(row.text for row in above[:_SHOWN])
    more = f"; and {len(above) - _SHOWN} more" if len(above) > _SHOWN else ""
    raise CheckFailed(
        f"{name}: {len(above)} known vulnerabilities above {highest}: {shown}{more}",
        "bake again with newer packages; or say with --vex which do not affect this image, or allow more "
        "with --max-severity",
    )
