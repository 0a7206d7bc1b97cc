"""The workflows are valid by the services' schemas, and pass zizmor."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import HASH
from tests.integration.workflow_runner import written

from notebake import process

SCHEMAS = {
    "github": ["vendor.github-workflows"],
    "gitlab": ["vendor.gitlab-ci", "--data-transform", "gitlab-ci"],
    # Its schema has patterns that are invalid in Unicode mode.
    "azure-pipelines": ["vendor.azure-pipelines", "--data-transform", "azure-pipelines",
                        "--regex-variant", "nonunicode"],
}  # fmt: skip

KEYLESS = {"keyless": True}
SCAN = {"max_severity": "high"}
AUTH: list[dict[str, Any]] = [
    {"auth": "aws", "catalog": "s3://b/images", "keyless": True},
    {"auth": "gcp", "catalog": "gs://b/images"},
    {"auth": "azure", "catalog": "az://b/images"},
]
PASSWORD = f'[notebook]\npassword = "{HASH}"\n'


def schema(service: str, path: Path) -> int:
    argv = ["check-jsonschema", "--builtin-schema", *SCHEMAS[service], path]
    return process.run(argv, timeout=120, check=False).returncode


@pytest.mark.parametrize(
    ("service", "options", "old", "new"),
    [
        ("github", {}, "runs-on: ubuntu-24.04", "run-on: ubuntu-24.04"),
        ("github", KEYLESS, "id-token: write", "id-tokens: write"),
        ("gitlab", {}, "expire_in: 1 week", "expire_in: [1]"),
        ("gitlab", KEYLESS, "aud: sigstore", "audience: sigstore"),
        ("azure-pipelines", {}, "timeoutInMinutes:", "timeoutInMinute:"),
        ("github", SCAN, "run: |", "ran: |"),
        ("gitlab", SCAN, "expire_in: 1 week", "expire_in: [1]"),
        ("azure-pipelines", SCAN, "displayName:", "displayNames:"),
        *(("github", options, "timeout-minutes:", "timeout-minute:") for options in AUTH),
        *(("gitlab", options, "aud:", "audience:") for options in AUTH),
        ("azure-pipelines", AUTH[2], "scriptLocation:", "[]:"),
    ],
)
def test_the_services_schema_accepts_the_workflow_and_refuses_a_broken_one(
    service: str, options: dict[str, Any], old: str, new: str, tmp_path: Path
) -> None:
    path = written(service, tmp_path, text=PASSWORD, **options)
    assert schema(service, path) == 0
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    assert schema(service, path) != 0


def test_zizmor_accepts_the_workflow_and_refuses_an_unpinned_action(tmp_path: Path) -> None:
    def findings(path: Path) -> set[str]:
        argv = ["zizmor", "--offline", "--no-progress", "--format=json", path]
        output = process.run(argv, timeout=120, check=False).stdout.decode()
        rows = json.loads(output[output.index("[\n") if "[\n" in output else output.index("[]") :])
        return {row["ident"] for row in rows}

    for options in (KEYLESS, *AUTH):
        assert findings(written("github", tmp_path, **options)) == set()
    path = written("github", tmp_path)
    assert findings(path) == set()
    text = path.read_text()
    path.write_text(re.sub(r"checkout@\w{40}", "checkout@v5", text).replace("permissions: {}", ""))
    assert "unpinned-uses" in findings(path)
