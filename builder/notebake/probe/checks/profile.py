"""The kernel runs with its own IPython profile, and that profile's settings are loaded."""

from __future__ import annotations

from notebake.errors import CheckFailed
from notebake.probe.checks._ask import ask
from notebake.probe.context import Context

_FACTS = (
    "(lambda shell: [shell.profile, shell.profile_dir.location, "
    "str(shell.config.get('IPKernelApp', {}).get('pylab', 'none'))])(get_ipython())"
)


def run(context: Context) -> str:
    """Name and setting; CheckFailed with each difference."""
    name, folder, pylab = ask(context, _FACTS)
    wanted, faults = context.subject, []
    if name != wanted.profile:
        faults.append(f"the profile is {name!r}, not {wanted.profile!r}")
    # By hand instead of pathlib: the folder may be a Windows one.
    if folder.replace("\\", "/").rsplit("/", 1)[-1] != f"profile_{wanted.profile}":
        faults.append(f"its folder is {folder}")
    if pylab != wanted.pylab:
        faults.append(f"IPKernelApp.pylab is {pylab!r}, not {wanted.pylab!r}")
    if faults:
        raise CheckFailed("; ".join(faults))
    return f"{name}, pylab {pylab}"
