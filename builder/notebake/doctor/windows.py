"""What a bake of Windows needs besides programs: the ISOs that the spec names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from notebake.bake import windows_media
from notebake.doctor.examine import Finding
from notebake.errors import NotebakeError, SpecError
from notebake.plan import targets
from notebake.plan.spec_windows import Windows
from notebake.plan.targets import WindowsMedia


def names_medium(given: Windows) -> bool:
    """Return whether the spec's [windows] names an ISO."""
    return given.iso is not None or given.virtio_win is not None


def examine(given: Windows, folder: Path) -> list[Finding]:
    """Return the findings on the ISOs of a spec in `folder`; none where it names no ISO.

    Reads the ISOs whole, for their SHA-256.
    """
    if not names_medium(given):
        return []
    bases = [item.base for item in targets.all_targets() if isinstance(item.base, WindowsMedia)]

    def medium() -> None:
        # The ISO is one release's: that of any Windows target will do.
        errors = []
        for base in bases:
            try:
                return windows_media.check_medium(given, base, folder)
            except SpecError as error:
                errors.append(error)
        raise errors[0]

    checks: dict[str, Callable[[], object]] = {
        "Windows ISO": medium,
        "virtio-win ISO": lambda: windows_media.check_drivers(given, folder),
    }
    found = []
    for what, check in checks.items():
        ok, detail = True, "as it should be"
        try:
            check()
        except NotebakeError as error:
            ok, detail = False, error.message
        found.append(Finding(what=what, needed_for="bake of Windows", ok=ok, detail=detail))
    return found
