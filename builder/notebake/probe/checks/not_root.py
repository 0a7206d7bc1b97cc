"""Check that code in a notebook does not run as root (on Windows: as an administrator)."""

from __future__ import annotations

from notebake.errors import CheckFailed
from notebake.probe.checks._ask import ask
from notebake.probe.context import Context

_FACTS = (
    "(lambda os: [os.geteuid() == 0, os.geteuid()] if hasattr(os, 'geteuid') else "
    "[bool(__import__('ctypes').windll.shell32.IsUserAnAdmin()), None])(__import__('os'))"
)


def run(context: Context) -> str:
    """Return the user id, if the system has one. Raises CheckFailed for root."""
    root, uid = ask(context, _FACTS)
    if root:
        raise CheckFailed("the kernel runs as root" if uid == 0 else "the kernel runs as an administrator")
    return f"user id {uid}" if uid is not None else "not an administrator"
