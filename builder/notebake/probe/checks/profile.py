"""Check that the kernel runs with its IPython profile and has loaded the profile's settings."""

from __future__ import annotations

from notebake.errors import CheckFailed
from notebake.probe.checks._ask import ask
from notebake.probe.context import CELL, Context

_FACTS = (
    "(lambda shell: [shell.profile, shell.profile_dir.location, "
    "str(shell.config.get('IPKernelApp', {}).get('pylab', 'none'))])(get_ipython())"
)


def run(context: Context) -> str:
    """Return the profile's name and its pylab setting. Raises CheckFailed with every difference."""
    name, folder, pylab = ask(context, _FACTS)
    expected, faults = context.subject, []
    # What the launcher and the menu of kernels show; a kernel that is not listed can still be started.
    answer = context.session().request("GET", "/api/kernelspecs", seconds=context.seconds(CELL))
    listed = answer.json("GET /api/kernelspecs").get("kernelspecs") or {}
    if expected.profile not in listed:
        faults.append(f"the list of kernels has {', '.join(listed) or 'none'}, not {expected.profile!r}")
    if name != expected.profile:
        faults.append(f"the profile is {name!r}, not {expected.profile!r}")
    # Not pathlib: it may be a Windows path.
    if folder.replace("\\", "/").rsplit("/", 1)[-1] != f"profile_{expected.profile}":
        faults.append(f"its folder is {folder}")
    if pylab != expected.pylab:
        faults.append(f"IPKernelApp.pylab is {pylab!r}, not {expected.pylab!r}")
    if faults:
        raise CheckFailed("; ".join(faults))
    return f"{name}, pylab {pylab}"
