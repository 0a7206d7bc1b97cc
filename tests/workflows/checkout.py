"""A repository with a spec and a workflow, and what a run of the workflow must leave in its catalog."""

from __future__ import annotations

from pathlib import Path

from tests.integration.workflow_runner import written

from notebake import process
from notebake.catalog import signing
from notebake.catalog import verify as verification
from notebake.catalog.catalog import Catalog
from notebake.record.record import Commit


def make(folder: Path, service: str, requirement: str) -> str:
    """Make a repository for debian-13 with this host's mirrors; return its commit."""
    folder.mkdir(parents=True)
    (folder / "notebake.toml").write_text('mirrors = "host"\n')
    written(service, folder, requirement=requirement)
    git = ["git", "-C", folder, "-c", "user.name=A", "-c", "user.email=a@example.com"]
    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "One"]):
        process.run([*git, *words], timeout=60)
    return process.run([*git, "rev-parse", "HEAD"], timeout=60).stdout.decode().strip()


def verify(folder: Path, key: Path, commit: str) -> None:
    """Assert that the catalog in `folder` has one version: signed, probed, promoted, of a clean `commit`."""
    catalog = Catalog(str(folder))
    assert catalog.pointers("debian-13") == {"candidate": "1.0.0", "stable": "1.0.0"}
    assert verification.problems(catalog, signing.public_key(key)) == []
    record = catalog.record(catalog.find("debian-13@stable"))
    assert record.probe is not None and record.probe.passed
    assert record.commit == Commit(id=commit, clean=True)
