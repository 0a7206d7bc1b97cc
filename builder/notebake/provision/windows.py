"""The guest on Windows: the programs it shares with Linux, its own, and its values."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from notebake import paths
from notebake.errors import SpecError
from notebake.files import RenderedFile
from notebake.plan.lock import Lock
from notebake.plan.plan import Plan

# The very files that Linux has.
SHARED = ("certificate.py", "jupyter_settings.py", "serve.py")
FIRST_BOOT = "first-boot.ps1"


def config(plan: Plan) -> dict[str, Any]:
    """The values in config.json that Linux has not."""
    installer = plan.target.python.installer
    if installer is None:
        raise SpecError(f"target {plan.target.name}: [python.installer] is missing: no Python would be there")
    return {
        "index": plan.sources.python,
        "installer": installer.model_dump(),
        "wheels_sha256": wheels_sha256(plan.lock),
    }


def wheels_sha256(lock: Lock) -> str:
    """SHA-256 (hex) over the sorted digests of all wheels, as the guest's wheels.py makes it.

    Raises SpecError for a lock that leaves open which wheel of a package is meant.
    """
    digests = [line.split(" --hash=sha256:")[1:] for line in lock.lines]
    if any(len(found) != 1 for found in digests):
        raise SpecError(
            f"the lock made for {lock.made_for}: more than one wheel of a package",
            "`notebake lock` makes it anew",
        )
    return hashlib.sha256("\n".join(sorted(found[0] for found in digests)).encode()).hexdigest()


def user_data_files(items: tuple[RenderedFile, ...]) -> tuple[RenderedFile, ...]:
    """The guest as user-data carries it: names and versions in place of the lock with its digests."""
    short = {
        "names.txt" if item.path == "requirements.txt" else item.path: (
            re.sub(rb" --hash=\S+", b"", item.data) if item.path == "requirements.txt" else item.data
        )
        for item in items
    }
    return tuple(RenderedFile(path=path, data=short[path]) for path in sorted(short))


def programs() -> dict[str, str]:
    """The guest's programs: file name -> text, as in the checkout."""
    root = paths.data_folder("cloud-init")
    own = {path.name: path for path in (root / "windows").iterdir() if path.suffix in (".py", ".ps1")}
    del own[FIRST_BOOT]
    shared = {name: root / "shared" / name for name in SHARED}
    return {name: path.read_text("utf-8") for name, path in (own | shared).items()}
