"""The guest on Windows: the programs it shares with Linux, its own, and its values."""

from __future__ import annotations

from typing import Any

from notebake import resources
from notebake.errors import SpecError
from notebake.plan import Plan

# The very files that Linux has.
SHARED = ("certificate.py", "jupyter_settings.py", "serve.py")
FIRST_BOOT = "first-boot.ps1"


def config(plan: Plan) -> dict[str, Any]:
    """The values that the guest's programs read from config.json."""
    spec, installer = plan.spec, plan.target.python.installer
    if installer is None:
        raise SpecError(f"target {plan.target.name}: [python.installer] is missing: no Python would be there")
    return {
        "folder": spec.notebook.folder,
        "port": spec.notebook.port,
        "profile": spec.notebook.profile,
        "pylab": spec.notebook.pylab,
        "password": spec.notebook.password,
        "names": list(spec.certificate.names),
        "own_certificate": plan.own_certificate is not None,
        "index": plan.sources.python,
        "installer": installer.model_dump(),
    }


def programs() -> dict[str, str]:
    """The guest's programs: file name -> text, as in the checkout."""
    root = resources.folder("cloud-init")
    own = {path.name: path for path in (root / "windows").iterdir() if path.suffix in (".py", ".ps1")}
    del own[FIRST_BOOT]
    shared = {name: root / "guest" / name for name in SHARED}
    return {name: path.read_text("utf-8") for name, path in (own | shared).items()}
