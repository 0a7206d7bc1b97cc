"""The gate for images with known vulnerabilities: a scanner's report, VEX documents, the highest severity."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from notebake.catalog import vex, vulnerabilities
from notebake.catalog.vulnerabilities import Report
from notebake.record.record import Record


@dataclass(frozen=True)
class Gate:
    """What `catalog add` and `promote` were told: the report, VEX documents, the highest severity allowed."""

    report: Path
    vex: tuple[Path, ...]
    highest: str

    def check(self, record: Record, *, name: str) -> Report:
        """Return the report on the image of `record`, after VEX.

        Raises CheckFailed if the image has a vulnerability above the highest severity, RecordError if the
        report cannot be read or is on another image.
        """
        report = vulnerabilities.read(self.report)
        vulnerabilities.check_subject(report, record, source=str(self.report))
        names = {record.target, f"sha256:{record.image.sha256}"}
        if record.version:
            names.add(f"{record.target}@{record.version}")
        report = vex.apply(report, self.vex, names)
        vulnerabilities.gate(report, self.highest, name=name)
        return report
