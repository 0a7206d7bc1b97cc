"""A probe report is on one image: what it must say before that image is added and promoted."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests import catalogs
from tests.conftest import Run

from notebake.catalog import add, probed, promote
from notebake.catalog.catalog import Catalog
from notebake.catalog.signing import Signer
from notebake.errors import RecordError
from notebake.probe.checklist import CHECKS
from notebake.record import record
from notebake.record.record import ProbeReport, Record

NAMES = [check.name for check in CHECKS]


def without(report: ProbeReport, name: str, status: str | None = None) -> ProbeReport:
    """Return the report without a check, or with another status of it."""
    rows = [
        row if row.name != name else row.model_copy(update={"status": status})
        for row in report.results
        if row.name != name or status
    ]
    return report.model_copy(update={"results": tuple(rows)})


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return catalogs.write(tmp_path / "baked", 1)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"image": None}, "does not say which image the machine ran"),
        ({"image": "0" * 64}, "is of another image: SHA-256 000000000000"),
        ({"started": catalogs.START - timedelta(days=2000)}, "older than the image"),
        ({"started": catalogs.START - timedelta(hours=2)}, "older than the image"),
        ({"started": catalogs.START + timedelta(hours=1)}, "in the future"),
    ],
)
def test_a_report_on_something_else_is_not_added(
    change: dict[str, Any], says: str, image: Path, catalog: Catalog, signer: Signer
) -> None:
    report = catalogs.probe(image).model_copy(update=change)
    with pytest.raises(RecordError, match=says) as caught:
        add.add(catalog, image, signer=signer, now=catalogs.START, probe=report)
    assert "probe" in str(caught.value.hint)
    assert not Path(catalog.storage.url).exists()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("status", [None, "skipped"])
def test_a_report_without_a_check_is_not_promoted(
    name: str, status: str | None, image: Path, catalog: Catalog, signer: Signer
) -> None:
    report = without(catalogs.probe(image), name, status)
    its_record = record.load(image).model_copy(update={"probe": report})
    assert probed.problem(its_record) == f"its probe is not complete: {name} did not pass"


def test_one_passed_check_is_not_enough(image: Path, catalog: Catalog, signer: Signer) -> None:
    report = catalogs.probe(image)
    report = report.model_copy(update={"results": report.results[:1]})
    entry = add.add(catalog, image, signer=signer, now=catalogs.START, probe=report).entry
    assert not entry.probed
    with pytest.raises(RecordError, match=r"not complete: fingerprint, .*, reboot did not pass"):
        promote.promote(catalog, entry, "stable", signer=signer, now=catalogs.START)
    # A complete one makes a new version of the same image, which can be promoted.
    now = catalogs.START + timedelta(minutes=1)
    again = add.add(catalog, image, signer=signer, now=now, probe=catalogs.probe(image))
    assert again.is_new and again.entry.probed
    promote.promote(catalog, again.entry, "stable", signer=signer, now=now)


def needed(image: Path, **changes: Any) -> list[str]:
    known: Record = record.load(image)
    system = known.software.system.model_copy(update={"id": changes.pop("id", "debian")})
    software = known.software.model_copy(update={"system": system})
    machine = known.machine.model_copy(update=changes)
    return probed.required(known.model_copy(update={"software": software, "machine": machine}))


def test_what_the_spec_turns_off_is_not_needed(image: Path) -> None:
    assert needed(image) == NAMES
    assert set(NAMES) - set(needed(image, metadata=True)) == {"metadata"}
    assert set(NAMES) - set(needed(image, pylab="qt")) == {"plot"}


def test_windows_is_probed_from_outside(image: Path) -> None:
    inside = {"cloud_init", "port_closed", "updates", "restart", "kill", "reboot"}
    assert set(NAMES) - set(needed(image, id="windows")) >= inside
    assert {"tls", "login", "plot", "not_root", "metadata"} <= set(needed(image, id="windows"))


def test_the_old_report_of_another_machine(run: Run, tmp_path: Path, image: Path) -> None:
    """As it was: one check of 2020 passed, the others skipped."""
    report = {
        "address": "https://some.other.machine/", "started": "2020-01-01T00:00:00Z", "passed": True,
        "seconds": 1, "results": [
            {"name": "tls", "status": "passed", "seconds": 1, "detail": ""},
            {"name": "plot", "status": "skipped", "seconds": 0, "detail": ""},
        ],
    }  # fmt: skip
    (tmp_path / "p.json").write_text(json.dumps(report))
    run("catalog", "key", "k")
    code, _, err = run("catalog", "add", str(image), "--probe", "p.json", "--key", "k")
    assert code == 7 and "does not say which image" in err and not (tmp_path / "catalog").exists()
