"""The workflows, read by zizmor and by the services' schemas."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.integration.workflow_runner import written

from notebake import process

SCHEMAS = {
    "github": ["vendor.github-workflows"],
    "gitlab": ["vendor.gitlab-ci", "--data-transform", "gitlab-ci"],
    # Its schema has patterns that no unicode regular expression may have.
    "azure-pipelines": [
        "vendor.azure-pipelines",
        "--data-transform",
        "azure-pipelines",
        "--regex-variant",
        "nonunicode",
    ],
}


def schema(service: str, path: Path) -> int:
    argv = ["check-jsonschema", "--builtin-schema", *SCHEMAS[service], path]
    return process.run(argv, timeout=120, check=False).returncode


@pytest.mark.parametrize(
    ("service", "keyless", "old", "new"),
    [
        ("github", False, "runs-on: ubuntu-24.04", "run-on: ubuntu-24.04"),
        ("github", True, "id-token: write", "id-tokens: write"),
        ("gitlab", False, "expire_in: 1 week", "expire_in: [1]"),
        ("gitlab", True, "aud: sigstore", "audience: sigstore"),
        ("azure-pipelines", False, "timeoutInMinutes:", "timeoutInMinute:"),
    ],
)
def test_the_services_schema(service: str, keyless: bool, old: str, new: str, tmp_path: Path) -> None:
    path = written(service, tmp_path, keyless=keyless)
    assert schema(service, path) == 0
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    assert schema(service, path) != 0


def test_zizmor_finds_nothing_and_would(tmp_path: Path) -> None:
    def findings(path: Path) -> set[str]:
        said = process.run(
            ["zizmor", "--offline", "--no-progress", "--format=json", path], timeout=120, check=False
        ).stdout.decode()
        return {
            row["ident"]
            for row in json.loads(said[said.index("[\n") if "[\n" in said else said.index("[]") :])
        }

    assert findings(written("github", tmp_path, keyless=True)) == set()
    path = written("github", tmp_path)
    assert findings(path) == set()
    text = path.read_text()
    path.write_text(re.sub(r"checkout@\w{40}", "checkout@v5", text).replace("permissions: {}", ""))
    assert "unpinned-uses" in findings(path)
