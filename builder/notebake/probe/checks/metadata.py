"""Check that a kernel cannot reach the cloud's metadata service, which has user-data and credentials."""

from __future__ import annotations

import errno

from notebake.errors import CheckFailed
from notebake.probe.checks._ask import ask
from notebake.probe.context import Context

# The same address and port on all clouds.
_ADDRESS = ("169.254.169.254", 80)
_CONNECT = (
    f"(lambda s: (s.settimeout(3), s.connect_ex({_ADDRESS}), s.close())[1])(__import__('socket').socket())"
)
# The machine's own firewall; the second is Windows'.
_REFUSED = {errno.ECONNREFUSED, 10013}


def run(context: Context) -> str:
    """Return what happens to a connection. Raises CheckFailed, NotReady."""
    code = ask(context, _CONNECT)
    if code == 0:
        raise CheckFailed(
            "a kernel can reach the cloud's metadata service at 169.254.169.254: user-data and credentials",
            "on the machine: systemctl start notebake-metadata",
        )
    if code in _REFUSED:
        return "refused by the machine's firewall"
    return "this machine has no metadata service"
