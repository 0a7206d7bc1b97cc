"""The provisioning files for Windows: its own programs, those shared with Linux, and their values."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from notebake import paths
from notebake.errors import SpecError
from notebake.files import RenderedFile
from notebake.plan.lock import Lock
from notebake.plan.plan import Plan
from notebake.plan.spec_image import Updates

# The same files as on Linux.
SHARED = ("certificate.py", "jupyter_settings.py", "serve.py")
FIRST_BOOT = "first-boot.ps1"


def config(plan: Plan) -> dict[str, Any]:
    """Return the values of config.json that only Windows has. Raises SpecError without a Python installer."""
    installer = plan.target.python.installer
    if installer is None:
        raise SpecError(f"target {plan.target.name}: [python.installer] is missing: there would be no Python")
    return {
        "index": plan.sources.python,
        "installer": installer.model_dump(),
        "wheels_sha256": wheels_sha256(plan.lock),
        "updates": update_policy(plan.spec.updates),
        "metadata": plan.spec.notebook.metadata,
        "ssh": plan.spec.windows.ssh,
        "rdp": plan.spec.windows.rdp,
    }


def update_policy(updates: Updates) -> dict[str, int]:
    """Return the values of Windows Update's policy, in the registry's WindowsUpdate\\AU.

    Windows restarts by itself once it has installed updates. So without a time for reboots it only downloads
    them (AUOptions 3), and an administrator installs them; with one it installs them then (4). Microsoft's
    updates of Windows are cumulative: those of other products are what "all" adds.
    https://learn.microsoft.com/windows/deployment/update/waas-wu-settings
    """
    if updates.automatic == "none":
        return {"NoAutoUpdate": 1}
    policy = {"NoAutoUpdate": 0, "AllowMUUpdateService": int(updates.automatic == "all")}
    if updates.reboot is None:
        return policy | {"AUOptions": 3}
    hour = int(updates.reboot.split(":")[0])
    at_once = {"AlwaysAutoRebootAtScheduledTime": 1}
    return policy | {"AUOptions": 4, "ScheduledInstallDay": 0, "ScheduledInstallTime": hour} | at_once


def wheels_sha256(lock: Lock) -> str:
    """Return the SHA-256 (hex) over the sorted digests of all wheels, as wheels.py on the machine does."""
    digests = sorted(line.split(" --hash=sha256:")[1] for line in lock.lines)
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def user_data_files(items: tuple[RenderedFile, ...]) -> tuple[RenderedFile, ...]:
    """Return the files as user-data carries them: package names and versions replace the lock's digests."""
    short = {
        "names.txt" if item.path == "requirements.txt" else item.path: (
            re.sub(rb" --hash=\S+", b"", item.data) if item.path == "requirements.txt" else item.data
        )
        for item in items
    }
    return tuple(RenderedFile(path=path, data=short[path]) for path in sorted(short))


def programs() -> dict[str, str]:
    """Return the programs: file name -> text, as in the source."""
    root = paths.data_folder("cloud-init")
    own = {path.name: path for path in (root / "windows").iterdir() if path.suffix in (".py", ".ps1")}
    del own[FIRST_BOOT]
    shared = {name: root / "shared" / name for name in SHARED}
    return {name: path.read_text("utf-8") for name, path in (own | shared).items()}
