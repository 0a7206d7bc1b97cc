"""What each stage of a boot took, asked of the machine's own systemd, as a page with a plot."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import jinja2
from tests.e2e.families import root_shell

from notebake.machines.machine import Machine

REPORT = Path(__file__).resolve().parents[2] / "test-report/machines.html"
UNITS = (
    "cloud-init-local.service",
    "cloud-init-network.service",
    "cloud-config.service",
    "cloud-final.service",
    "notebake-setup.service",
    "notebake-certificate.service",
    "notebake-notebook.service",
)
_ASK = """\
systemctl show --property=UserspaceTimestampMonotonic --value
for unit in UNITS; do
  echo $unit $(systemctl show --value --property=ExecMainStartTimestampMonotonic $unit) \
    $(systemctl show --value --property=ActiveEnterTimestampMonotonic $unit) \
    $(systemctl show --value --property=ExecMainExitTimestampMonotonic $unit)
done
"""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One unit's time: seconds since the machine's systemd began."""

    unit: str
    begin: float
    end: float


@dataclass
class Stages:
    """Boots by case."""

    cases: dict[str, list[Stage]] = field(default_factory=dict)

    def note(self, case: str, machine: Machine) -> None:
        """Ask a machine whose notebook answers."""
        first, *rows = root_shell(machine, _ASK.replace("UNITS", " ".join(UNITS))).splitlines()
        zero = int(first)
        found = []
        for row in rows:
            unit, *stamps = row.split()
            begin, active, ended = ([int(each) for each in stamps] + [0, 0, 0])[:3]
            if begin:
                # A one-shot is over when its program ends, a service is up when systemd calls it active.
                end = active if unit == "notebake-notebook.service" else ended or active
                found.append(
                    Stage(
                        unit=unit.removesuffix(".service"), begin=(begin - zero) / 1e6, end=(end - zero) / 1e6
                    )
                )
        self.cases[case] = found

    def write(self) -> None:
        """test-report/machines.html, one page that needs nothing beside it."""
        loader = jinja2.FileSystemLoader(Path(__file__).parent)
        page = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
        longest = max((stage.end for each in self.cases.values() for stage in each), default=1.0)
        REPORT.parent.mkdir(exist_ok=True)
        REPORT.write_text(
            page.get_template("stages.html.j2").render(cases=self.cases, longest=longest), "utf-8"
        )
