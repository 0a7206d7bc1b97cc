"""Check that the user can install Python packages from a notebook; say which are installed."""

from __future__ import annotations

from notebake.errors import CheckFailed
from notebake.probe.checks._ask import ask
from notebake.probe.context import Context

_FACTS = (
    "(lambda os, sys, find_spec, distributions, site: [os.name == 'nt', sys.prefix,"
    " os.access(site, os.W_OK) and find_spec('pip') is not None,"
    " sorted(f'{item.name} {item.version}' for item in distributions(path=[site]))])"
    "(__import__('os'), __import__('sys'), __import__('importlib.util').util.find_spec,"
    " __import__('importlib.metadata').metadata.distributions, __import__('sysconfig').get_path('purelib'))"
)


def run(context: Context) -> str:
    """Return the packages that the user installed. Raises CheckFailed if none can be installed."""
    windows, prefix, usable, packages = ask(context, _FACTS)
    if windows:
        return "not on Windows"
    if not usable:
        raise CheckFailed(
            f"no package can be installed into {prefix}",
            "in the machine: rm -rf ~/.venv, then restart the kernel",
        )
    return f"{prefix}: {', '.join(packages) or 'empty'}"
