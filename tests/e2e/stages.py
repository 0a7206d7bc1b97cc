"""How long each stage of a boot took, from the machine's systemd, as a page with a plot."""

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
    """Begin and end of one unit, in seconds since the machine's systemd started."""

    unit: str
    begin: float
    end: float


@dataclass
class Stages:
    """The stages of boots: case -> stages."""

    cases: dict[str, list[Stage]] = field(default_factory=dict)

    def note(self, case: str, machine: Machine) -> None:
        """Add the boot of a machine whose notebook answers."""
        first, *rows = root_shell(machine, _ASK.replace("UNITS", " ".join(UNITS))).splitlines()
        zero = int(first)
        stages = []
        for row in rows:
            unit, *stamps = row.split()
            begin, active, ended = ([int(stamp) for stamp in stamps] + [0, 0, 0])[:3]
            if begin:
                # A one-shot unit ends when its program ends; the server is up when systemd calls it active.
                end = active if unit == "notebake-notebook.service" else ended or active
                name = unit.removesuffix(".service")
                stages.append(Stage(unit=name, begin=(begin - zero) / 1e6, end=(end - zero) / 1e6))
        self.cases[case] = stages

    def write(self) -> None:
        """Write test-report/machines.html, a page without other files."""
        loader = jinja2.FileSystemLoader(Path(__file__).parent)
        templates = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
        longest = max((stage.end for stages in self.cases.values() for stage in stages), default=1.0)
        page = templates.get_template("stages.html.j2").render(cases=self.cases, longest=longest)
        REPORT.parent.mkdir(exist_ok=True)
        REPORT.write_text(page, "utf-8")
