"""Read the git state of the spec's folder, for the record."""

from __future__ import annotations

import os
from pathlib import Path

from notebake import process
from notebake.record.record import Commit


def state(folder: Path) -> Commit | None:
    """Return the current commit of `folder` and whether it is clean; None without git or commits."""
    if not process.has("git"):
        return None
    # `sudo notebake bake`: git trusts a repository of the user who called sudo, and knows that user by this.
    env = {name: os.environ[name] for name in ("SUDO_UID",) if name in os.environ}
    head = process.run(["git", "-C", folder, "rev-parse", "HEAD"], timeout=60, check=False, env=env)
    if head.returncode != 0:
        return None
    status = process.run(["git", "-C", folder, "status", "--porcelain", "--", "."], timeout=120, env=env)
    return Commit(id=head.stdout.decode().strip(), clean=not status.stdout.strip())
