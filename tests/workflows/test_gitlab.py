"""GitLab's pipeline, run by gitlab-ci-local in an empty Debian 13: from a checkout to a promoted version."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.workflows import checkout, root

from notebake import process
from notebake.catalog import signing


@pytest.mark.timeout(5400)
def test_the_pipeline_goes_from_a_checkout_to_a_promoted_version(
    folder: Path, node_modules: Path, requirement: tuple[Path, str], tmp_path: Path
) -> None:
    # What GitLab's runner brings: git, and for gitlab-ci-local Node.js and rsync.
    root.make(folder, "ca-certificates", "git", "nodejs", "rsync")
    shutil.copytree(node_modules, folder / "opt/node_modules", symlinks=True)
    shutil.copy(requirement[0], folder / "srv")
    commit = checkout.make(folder / "srv/images", "gitlab", requirement[1])
    # The project's address, which gitlab-ci-local reads.
    process.run(
        ["git", "-C", folder / "srv/images", "remote", "add", "origin", "https://git.example/me/images.git"],
        timeout=60,
    )
    # GitLab's runner cleans the checkout before each job; gitlab-ci-local does not, and has its own folder.
    (folder / "srv/images/.git/info/exclude").write_text("/.gitlab-ci-local/\n/rendered/\n")
    signing.make_key(folder / "srv/signing.key")
    log = tmp_path / "pipeline.log"
    # The machine is one root, so one job at a time.
    command = (
        "update-ca-certificates && node /opt/node_modules/gitlab-ci-local/src/index.js --force-shell-executor"
        " --concurrency 1 --variable NOTEBAKE_SIGNING_KEY=/srv/signing.key"
    )
    with root.entered(folder) as entered:
        code = entered.run(command, log, cwd="/srv/images")
        assert code == 0, process.tail(log.read_bytes(), 60)
        # A quiet week. The catalog is still there, as one with a URL is.
        code = entered.run(command, tmp_path / "quiet.log", cwd="/srv/images")
    quiet = (tmp_path / "quiet.log").read_bytes()
    assert code == 0 and b"nothing to bake" in quiet, process.tail(quiet, 60)
    text = log.read_text("utf-8", "replace")
    assert "no catalog was named: this pipeline's version is only in this job's artifacts" in text
    checkout.verify(folder / "srv/images/catalog", folder / "srv/signing.key.pub", commit)
    # It encodes the characters of `bake: [debian-13]` that a folder should not have.
    (kept,) = (folder / "srv/images/.gitlab-ci-local/artifacts").glob("bake*")
    names = {path.relative_to(kept).as_posix() for path in kept.rglob("*") if path.is_file()}
    assert {"probe.json", "report-debian-13.html", "baked/debian-13.log"} <= names, names
    checkout.verify(kept / "catalog", folder / "srv/signing.key.pub", commit)
