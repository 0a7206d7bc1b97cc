"""`notebake ci`: what it refuses, and what the workflows have for each option."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.conftest import Run

from notebake.ci import source, workflow
from notebake.errors import SpecError
from notebake.plan import targets

COMMIT = "0123456789abcdef0123456789abcdef01234567"
GIT = f"git+https://git.example/me/notebake@{COMMIT}"
WHEEL = f"https://dl.example/notebake-1.0-py3-none-any.whl#sha256={'a' * 64}"
INDEX = "https://index.example/simple"


def written(run: Run, folder: Path, service: str, *args: str) -> tuple[str, dict[str, Any]]:
    """Run `notebake ci`; return the workflow's text and its content."""
    if not (folder / "notebake.toml").exists():
        run("init", "--no-password")
    code, _, err = run("ci", service, "--requirement", GIT, "--force", *args)
    assert code == 0, err
    text = (folder / workflow.PATHS[service]).read_text()
    return text, yaml.safe_load(text)


def test_ci_does_not_overwrite_a_changed_workflow(run: Run, tmp_path: Path) -> None:
    run("init", "--no-password")
    command = ("ci", "github", "--requirement", GIT)
    assert run(*command)[0] == 0 and run(*command)[0] == 0
    path = tmp_path / ".github/workflows/images.yml"
    assert yaml.safe_load(path.read_text())["env"]["NOTEBAKE"] == f"notebake @ {GIT}"
    path.write_text("mine")
    code, _, err = run(*command)
    assert code == 2 and "--force" in err and path.read_text() == "mine"
    assert run(*command, "--force")[0] == 0 and path.read_text() != "mine"


def test_the_workflow_names_the_command_that_writes_it_again(run: Run, tmp_path: Path) -> None:
    text, _ = written(run, tmp_path, "github", "--catalog", "s3://b/images", "--auth", "aws", "--keyless")
    command = text.splitlines()[1].removeprefix("#   notebake ").split()
    (tmp_path / workflow.PATHS["github"]).unlink()
    assert run(*command)[0] == 0
    assert (tmp_path / workflow.PATHS["github"]).read_text() == text


@pytest.mark.parametrize(
    ("text", "index", "expected"),
    [
        (GIT, None, f"notebake[s3] @ {GIT}"),
        (f"notebake[gcs] @ {GIT}", None, f"notebake[gcs,s3] @ {GIT}"),
        (WHEEL, None, f"notebake[s3] @ {WHEEL}"),
        (f"file:///srv/notebake-1.0-py3-none-any.whl#sha256={'a' * 64}", None, None),
        ("notebake==1.0", INDEX, "notebake[s3]==1.0"),
    ],
)
def test_a_requirement_that_means_one_thing_is_taken(
    text: str, index: str | None, expected: str | None
) -> None:
    assert source.requirement(text, index, {"s3"}) == (expected or f"notebake[s3] @ {text}")


@pytest.mark.parametrize(
    ("text", "index", "says"),
    [
        (None, None, "--requirement: required"),
        ("", None, "--requirement: required"),
        ("notebake==1.0", None, "no index is named"),
        ("notebake", INDEX, "not one release"),
        ("notebake>=1.0", INDEX, "not one release"),
        ("notebake==1.*", INDEX, "not one release"),
        ("notebake==1.0; python_version > '3'", INDEX, "quotes"),
        ("other==1.0", INDEX, "not a requirement of notebake"),
        (GIT, INDEX, "--index: only for notebake==X"),
        ("git+https://git.example/me/notebake", None, "no commit"),
        ("git+https://git.example/me/notebake@main", None, "no commit"),
        ("git+https://git.example/me/notebake@v1.0", None, "no commit"),
        (f"git+https://git.example/me/notebake@{COMMIT[:12]}", None, "no commit"),
        (f"git+http://git.example/me/notebake@{COMMIT}", None, "neither a git+https URL nor a wheel's"),
        (f"git+https://secret@git.example/me/notebake@{COMMIT}", None, "must not contain a user"),
        (f"git+https://me:secret@git.example/me/notebake@{COMMIT}", None, "must not contain a user"),
        ("https://dl.example/notebake-1.0-py3-none-any.whl", None, "no digest"),
        ("https://dl.example/notebake-1.0-py3-none-any.whl#sha256=1", None, "no digest"),
        ("https://dl.example/notebake-1.0.tar.gz#sha256=1", None, "neither a git+https URL nor a wheel's"),
        (WHEEL.replace(".whl", ".whl?token=secret"), None, "must not contain a user"),
        ("dist/notebake-1.0-py3-none-any.whl", None, "is not a requirement"),
        ('"; rm', None, "must not contain quotes"),
        ("notebake @ $(id)", None, "must not contain quotes"),
        (f"{GIT}\n- run: id", None, "control codes"),
    ],
)
def test_a_requirement_that_may_change_or_has_a_secret_is_refused(
    text: str | None, index: str | None, says: str
) -> None:
    with pytest.raises(SpecError) as caught:
        source.requirement(text, index, set())
    assert says in caught.value.message and caught.value.hint
    assert "secret" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    "index",
    ["http://index.example/simple", "index.example", "https://me:secret@index.example/simple", "https://"],
)
def test_an_index_must_be_https_without_a_secret(index: str) -> None:
    with pytest.raises(SpecError, match="--index") as caught:
        source.check_index(index)
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    ("url", "extra"),
    [
        ("catalog", None), ("images/catalog", None), ("s3://b/images", "s3"), ("gs://b", "gcs"),
        ("gcs://b", "gcs"),
        ("az://box@account.blob.core.windows.net/images", "az"), ("sftp://me@host/srv", "sftp"),
    ],
)  # fmt: skip
def test_a_catalogs_scheme_brings_its_extra(url: str, extra: str | None) -> None:
    assert source.catalog(url) == source.Catalog(url=url, extra=extra)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("/srv/catalog", "not a folder below the checkout"), ("../catalog", "not a folder below"),
        ("", "not a folder"), (".", "not a folder below"), ("https://host/x", "read-only"),
        ("memory://x", "no storage that notebake knows"),
        ("s3://", "no bucket"), ("sftp://me:secret@host/x", "password"), ("s3://b/x?token=secret", "a query"),
        ("s3://${{ secrets.B }}", "braces"),
    ],
)  # fmt: skip
def test_a_catalog_that_a_workflow_cannot_use_is_refused(url: str, says: str) -> None:
    with pytest.raises(SpecError, match="--catalog") as caught:
        source.catalog(url)
    assert says in caught.value.message and caught.value.hint
    assert "secret@" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["github"], "--requirement: required"),
        (["github", "--requirement", GIT, "--auth", "aws"], "--auth aws: needs a catalog at s3://"),
        (["github", "--requirement", GIT, "--auth", "gcp", "--catalog", "s3://b"], "use --auth aws"),
        (["github", "--requirement", GIT, "--auth", "azure", "--catalog", "sftp://h/x"], "leave out --auth"),
        (["azure-pipelines", "--requirement", GIT, "--keyless"], "no identity that sigstore accepts"),
        (["azure-pipelines", "--requirement", GIT, "--auth", "aws", "--catalog", "s3://b"], "not supported"),
        (["github", "--requirement", GIT, "-s", "none.toml"], "no such file"),
        (["github", "--requirement", GIT, "-s", "windows.toml"], "Windows needs Microsoft's ISO"),
        (["github", "--requirement", GIT, "-s", "{tmp}/notebake.toml"], "not below this folder"),
        (["jenkins"], "jenkins"),
    ],
)
def test_wrong_options_write_nothing(run: Run, tmp_path: Path, args: list[str], says: str) -> None:
    run("init", "--no-password")
    (tmp_path / "windows.toml").write_text('targets = ["windows-2025"]\n')
    before = {path.name for path in tmp_path.iterdir()}
    code, _, err = run("ci", *(arg.replace("{tmp}", str(tmp_path)) for arg in args))
    assert (code, says in err) == (2, True), err
    assert {path.name for path in tmp_path.iterdir()} == before


def test_the_specs_targets_are_baked(run: Run, tmp_path: Path) -> None:
    run("init", "--no-password")
    assert written(run, tmp_path, "gitlab")[1]["bake"]["parallel"]["matrix"] == [{"TARGET": ["debian-13"]}]
    spec = tmp_path / "notebake.toml"
    spec.write_text('targets = ["windows-2025", "ubuntu-24.04", "debian-13"]\n' + spec.read_text())
    made = written(run, tmp_path, "gitlab")[1]
    assert made["bake"]["parallel"]["matrix"] == [{"TARGET": ["debian-13", "ubuntu-24.04"]}]
    assert made["variables"]["TARGETS"] == "debian-13 ubuntu-24.04"
    rows = json.loads(run("targets", "--spec", "notebake.toml", "--json")[1])
    assert [row["name"] for row in rows] == ["debian-13", "ubuntu-24.04", "windows-2025"]


@pytest.mark.parametrize(
    ("value", "says"),
    [('["debian-12"]', "no such target; the targets are: debian-13"), ("[]", "at least 1"),
     ('["debian-13", "debian-13"]', "listed twice"), ('"debian-13"', "must be a list")],
)  # fmt: skip
def test_wrong_targets_in_a_spec_are_named(run: Run, tmp_path: Path, value: str, says: str) -> None:
    (tmp_path / "notebake.toml").write_text(f"targets = {value}\n")
    code, _, err = run("targets", "--spec", "notebake.toml")
    assert code == 2 and "targets: " in err and says in err


def test_tested_targets_are_the_default() -> None:
    assert targets.chosen(None) == tuple(target for target in targets.all_targets() if target.tested) != ()


def test_the_targets_are_no_input_of_an_image(run: Run, tmp_path: Path) -> None:
    run("init", "--no-password")
    before = json.loads(run("plan", "debian-13", "--json")[1])["content_id"]
    spec = tmp_path / "notebake.toml"
    spec.write_text('targets = ["debian-13", "ubuntu-24.04"]\n' + spec.read_text())
    assert json.loads(run("plan", "debian-13", "--json")[1])["content_id"] == before


@pytest.mark.parametrize("service", workflow.PATHS)
def test_a_catalog_on_the_runner_is_an_artifact_and_the_run_says_so(
    run: Run, tmp_path: Path, service: str
) -> None:
    text, _ = written(run, tmp_path, service)
    assert "next" in text and "starts again at 1.0.0" in text and "To keep versions" in text
    text, _ = written(run, tmp_path, service, "--catalog", "az://box/images", "--auth", "azure")
    assert "starts again at 1.0.0" not in text and "az://box/images" in text and "notebake[az] @" in text


@pytest.mark.parametrize(
    ("auth", "catalog", "action"),
    [("aws", "s3://b", "aws-actions/configure-aws-credentials@"),
     ("gcp", "gs://b", "google-github-actions/auth@"), ("azure", "az://b", "azure/login@")],
)  # fmt: skip
def test_github_logs_in_just_before_the_catalog_is_used(
    run: Run, tmp_path: Path, auth: str, catalog: str, action: str
) -> None:
    _, made = written(run, tmp_path, "github", "--catalog", catalog, "--auth", auth)
    for name, after in (
        ("access", "Check the catalog and the signer"),
        ("bake", "Add to the catalog, sign and promote"),
    ):
        job = made["jobs"][name]
        assert job["permissions"]["id-token"] == "write" and job["environment"] == "images"
        steps = [step.get("name", step.get("uses")) for step in job["steps"]]
        log_in = next(
            index for index, step in enumerate(job["steps"]) if step.get("uses", "").startswith(action)
        )
        assert steps[log_in + 1] == after
    assert "id-token" not in made["jobs"]["check"]["permissions"]


@pytest.mark.parametrize("auth", [None, "aws"])
def test_a_job_has_an_identity_only_if_it_needs_one(run: Run, tmp_path: Path, auth: str | None) -> None:
    args = ("--catalog", "s3://b", *(("--auth", auth) if auth else ()))
    assert ("id-token: write" in written(run, tmp_path, "github", *args)[0]) == bool(auth)
    made = written(run, tmp_path, "gitlab", *args)[1]
    for job in ("access", "bake"):
        assert made[job].get("id_tokens") == (
            {"CLOUD_ID_TOKEN": {"aud": "sts.amazonaws.com"}} if auth else None
        )


def test_the_bake_waits_for_the_check_of_the_catalog(run: Run, tmp_path: Path) -> None:
    assert set(written(run, tmp_path, "github")[1]["jobs"]["bake"]["needs"]) == {"check", "access"}
    made = written(run, tmp_path, "gitlab")[1]
    assert made["stages"].index(made["access"]["stage"]) < made["stages"].index(made["bake"]["stage"])
    jobs = {job["job"]: job for job in written(run, tmp_path, "azure-pipelines")[1]["jobs"]}
    assert set(jobs["bake"]["dependsOn"]) == {"check", "access"}


def test_the_probe_logs_in_only_with_a_password(run: Run, tmp_path: Path) -> None:
    run("init", "--no-password")
    for service in workflow.PATHS:
        assert "--password-stdin" not in written(run, tmp_path, service)[0], service
    run("passwd", "--password-stdin", stdin="correct horse\n")
    for service in workflow.PATHS:
        assert "--password-stdin" in written(run, tmp_path, service)[0], service


@pytest.mark.parametrize("service", workflow.PATHS)
def test_an_image_is_scanned_before_it_is_added_where_that_is_asked_for(
    run: Run, tmp_path: Path, service: str
) -> None:
    assert "grype" not in written(run, tmp_path, service)[0]
    text, _ = written(run, tmp_path, service, "--max-severity", "medium")
    scan, add = text.index("-o json > vulnerabilities.json"), text.index("catalog add")
    assert text.index("notebake probe") < scan < add
    assert "--vulnerabilities vulnerabilities.json --max-severity medium --json" in text[add:]
    assert "--max-severity medium" in text[: text.index("\n\n")], "the command that writes it again"


def test_a_merge_request_has_one_pipeline(run: Run, tmp_path: Path) -> None:
    rules = written(run, tmp_path, "gitlab")[1]["workflow"]["rules"]
    assert rules[0]["if"] == '$CI_PIPELINE_SOURCE == "merge_request_event"'
    assert {"if": "$CI_COMMIT_BRANCH && $CI_OPEN_MERGE_REQUESTS", "when": "never"} in rules


def test_an_index_is_the_only_one_that_pip_asks(run: Run, tmp_path: Path) -> None:
    run("init", "--no-password")
    for service in workflow.PATHS:
        command = ("ci", service, "--requirement", "notebake==1.0", "--index", INDEX)
        assert run(*command)[0] == 0
        text = (tmp_path / workflow.PATHS[service]).read_text()
        assert (
            '--index-url "$NOTEBAKE_INDEX" "$NOTEBAKE"' in text
            and INDEX in text
            and "extra-index" not in text
        )


@pytest.mark.parametrize("service", workflow.PATHS)
def test_a_spec_in_a_folder_is_used_everywhere(run: Run, tmp_path: Path, service: str) -> None:
    (tmp_path / "images").mkdir()
    run("init", "images/notebake.toml", "--no-password")
    assert run("ci", service, "--requirement", GIT, "--spec", "images/notebake.toml")[0] == 0
    made = yaml.safe_load((tmp_path / workflow.PATHS[service]).read_text())
    assert made["variables" if "variables" in made else "env"]["SPEC"] == "images/notebake.toml"
