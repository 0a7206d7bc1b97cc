"""The gate: scanners' reports, severities, OpenVEX; what it refuses is not in the catalog."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests import catalogs
from tests.conftest import Run

from notebake.catalog import vulnerabilities
from notebake.cli import options as cli_options

VERSIONS = catalogs.small().software.os_packages
NUMPY = catalogs.small().software.python_packages["numpy"]


def grype(*rows: tuple[str, str, str, str]) -> dict[str, Any]:
    """A report of grype: (id, severity, package, version)."""
    return {
        "matches": [
            {
                "vulnerability": {"id": name, "severity": severity, "fix": {"versions": ["99"]}},
                "relatedVulnerabilities": [{"id": name}, {"id": "CVE-2026-7777"}],
                "artifact": {"name": package, "version": version},
            }
            for name, severity, package, version in rows
        ]
    }


BASH = ("CVE-2026-1111", "Critical", "bash", VERSIONS["bash"])


def osv(score: str, package: str = "numpy", version: str = NUMPY) -> dict[str, Any]:
    name = "GHSA-aaaa-bbbb-cccc"
    group = {"ids": [name], "aliases": ["CVE-2026-2222", name], "max_severity": score}
    package_row = {"name": package, "version": version, "ecosystem": "PyPI"}
    return {"results": [{"source": {}, "packages": [{"package": package_row, "groups": [group]}]}]}


def sarif(rule: dict[str, Any], **result: Any) -> dict[str, Any]:
    driver = {"name": "scanner", "rules": [{"id": "CVE-2026-3333-bash", **rule}]}
    row = {"ruleId": "CVE-2026-3333-bash", "message": {"text": "m"}, **result}
    return {"version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": [row]}]}


def vex(*products: Any, status: str = "not_affected", name: str = "CVE-2026-1111", time: str = "1") -> str:
    statement = {
        "vulnerability": {"name": name}, "products": list(products), "status": status,
        "justification": "vulnerable_code_not_present", "timestamp": time,
    }  # fmt: skip
    return json.dumps({"@context": "https://openvex.dev/ns/v0.2.0", "statements": [statement]})


@pytest.mark.parametrize(
    ("report", "severity"),
    [
        (grype(BASH), "critical"),
        (grype(("CVE-1", "Negligible", "bash", VERSIONS["bash"])), "negligible"),
        (grype(("CVE-1", "Unknown", "bash", VERSIONS["bash"])), "high"),
        (osv("9.8"), "critical"),
        (osv("7.0"), "high"),
        (osv("6.9"), "medium"),
        (osv(""), "high"),
        (sarif({"properties": {"security-severity": "9.1"}}), "critical"),
        (sarif({}, level="note"), "low"),
        (sarif({"defaultConfiguration": {"level": "error"}}), "high"),
        (sarif({}), "medium"),
    ],
)
def test_each_format_gives_a_severity(report: dict[str, Any], severity: str, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(json.dumps(report))
    (finding,) = vulnerabilities.read(tmp_path / "report.json").findings
    assert finding.id not in finding.aliases
    assert finding.severity == severity


def test_a_suppressed_result_of_sarif_is_none(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(json.dumps(sarif({}, suppressions=[{"kind": "external"}])))
    assert vulnerabilities.read(tmp_path / "report.json").findings == ()


def test_the_option_takes_the_severities() -> None:
    (choice,) = (option for option in decorated_options() if option.name == "max_severity")
    assert tuple(choice.type.choices) == vulnerabilities.SEVERITIES


@pytest.mark.parametrize("options", [("--max-severity", "low"), ("--vex", "vex.json")])
def test_a_gate_without_a_report_is_refused(options: tuple[str, str], run: Run, tmp_path: Path) -> None:
    """Not ignored: the user would think that the image passed it."""
    (tmp_path / "vex.json").write_text(vex("debian-13"))
    code, _, err = run("promote", "debian-13@1.0.0", *options)
    assert code == 2 and f"{options[0]}: requires --vulnerabilities" in err


def decorated_options() -> list[Any]:
    import click

    return click.command()(cli_options.gate(lambda gate: None)).params


def test_what_the_gate_refuses_is_not_added_and_not_promoted(run: Run, tmp_path: Path) -> None:
    run("catalog", "key", "k")
    (tmp_path / "bad.json").write_text(json.dumps(grype(BASH)))
    (tmp_path / "good.json").write_text(json.dumps(osv("7.5")))
    image = catalogs.write(tmp_path / "baked", 1)
    (tmp_path / "probe.json").write_text(catalogs.probe(image).model_dump_json())
    add = ("catalog", "add", str(image), "--probe", "probe.json", "--key", "k", "--vulnerabilities")
    code, _, err = run(*add, "bad.json")
    assert code == 6 and "CVE-2026-1111 (critical) in bash" in err and "--vex" in err
    assert not (tmp_path / "catalog").exists()
    assert run(*add, "good.json", "--max-severity", "medium")[0] == 6
    assert run(*add, "good.json")[0] == 0
    (stored,) = (tmp_path / "catalog").rglob("debian-13.vulnerabilities.json")
    assert json.loads(stored.read_text())["findings"][0]["id"] == "GHSA-aaaa-bbbb-cccc"
    assert run("catalog", "verify", "--public-key", "k.pub")[0] == 0
    promote = ("promote", "debian-13@candidate", "--key", "k", "--vulnerabilities", "bad.json")
    assert run(*promote)[0] == 6
    (row,) = json.loads(run("catalog", "list", "--json", "--unsigned")[1])
    assert row["channels"] == ["candidate"]
    (tmp_path / "vex.json").write_text(vex("debian-13@1.0.0"))
    assert run(*promote, "--vex", "vex.json")[0] == 0


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        (vex("debian-13"), True),
        (vex({"@id": "debian-13", "subcomponents": [{"@id": "pkg:deb/debian/bash"}]}), True),
        (vex({"@id": "debian-13", "subcomponents": [{"@id": "pkg:deb/debian/zlib1g"}]}), False),
        (vex({"@id": f"pkg:deb/debian/bash@{VERSIONS['bash']}?arch=amd64"}), True),
        (vex("pkg:deb/debian/bash@0.1"), False),
        (vex("debian-13", name="CVE-2026-7777"), True),  # an alias
        (vex("debian-13", name="CVE-2026-9999"), False),
        (vex("ubuntu-24.04"), False),
        (vex("debian-13", status="fixed"), True),
        (vex("debian-13", status="under_investigation"), False),
    ],
)
def test_vex_excludes_what_it_names(text: str, passes: bool, run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text(json.dumps(grype(BASH)))
    (tmp_path / "vex.json").write_text(text)
    run("catalog", "key", "k")
    image = str(catalogs.write(tmp_path / "baked", 1))
    gate = ("--vulnerabilities", "bad.json", "--vex", "vex.json")
    assert run("catalog", "add", image, "--key", "k", *gate)[0] == (0 if passes else 6)


def test_the_newest_statement_counts(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text(json.dumps(grype(BASH)))
    (tmp_path / "new.json").write_text(vex("debian-13", status="affected", time="2026-02-01"))
    (tmp_path / "old.json").write_text(vex("debian-13", time="2026-01-01"))
    run("catalog", "key", "k")
    image = str(catalogs.write(tmp_path / "baked", 1))
    gate = ("--vulnerabilities", "bad.json", "--vex", "new.json", "--vex", "old.json")
    assert run("catalog", "add", image, "--key", "k", *gate)[0] == 6


@pytest.mark.parametrize(
    ("report", "code", "words"),
    [
        ("", 7, "not a scanner's report"),
        ("[]", 7, "not a JSON object"),
        ("{}", 7, "not a report of grype"),
        ('{"matches": [{}]}', 7, "not a valid report of grype"),
        ('{"results": 1}', 7, "not a valid report of osv-scanner"),
        ('{"runs": [{"tool": {"driver": {"rules": [1]}}}]}', 7, "not a valid report of SARIF"),
        ("[" * 100_000, 7, "not a scanner's report"),
        (json.dumps(grype(("CVE-1", "Low", "bash", "0.1"))), 7, "not a report on this image"),
        (json.dumps(grype(("CVE-1\x1b[2J\n", "critical", "bash", VERSIONS["bash"]))), 6, "CVE-1?[2J?"),
    ],
)
def test_a_bad_report_is_named(report: str, code: int, words: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(report)
    run("catalog", "key", "k")
    image = str(catalogs.write(tmp_path / "baked", 1))
    found, _, err = run("catalog", "add", image, "--key", "k", "--vulnerabilities", "report.json")
    assert (found, words in err) == (code, True), err
    assert not (tmp_path / "catalog").exists()


@pytest.mark.parametrize(
    "text",
    ["", "{}", '{"@context": "https://openvex.dev/ns", "statements": [{}]}', vex(1), vex("x", status="fine"),
     vex("pkg:"), '{"@context": "https://openvex.dev/ns"}'],
)  # fmt: skip
def test_a_bad_vex_document_is_named(text: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(json.dumps(grype(BASH)))
    (tmp_path / "vex.json").write_text(text)
    run("catalog", "key", "k")
    image = str(catalogs.write(tmp_path / "baked", 1))
    gate = ("--vulnerabilities", "report.json", "--vex", "vex.json")
    code, _, err = run("catalog", "add", image, "--key", "k", *gate)
    assert code == 7 and "vex.json" in err, err
