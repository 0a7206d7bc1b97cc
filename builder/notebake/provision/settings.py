"""Settings of a Linux machine: of its package manager and of cloud-init. Each is a file below root/.

Set-up writes what is below root/ to its place below /.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

from notebake.plan.mirrors import default_python_index
from notebake.plan.plan import Plan
from notebake.provision import features

# Every other package is left as it is. Suites: stable-security, noble-security, noble-infra-security ...
_ORIGINS = {"security": "archive=*-security", "all": "archive=*"}
_SERVER = "notebake-notebook.service"
# Code in a notebook can write its user's authorized_keys.
_SSHD = """\
DenyUsers {user}
PermitRootLogin no
PasswordAuthentication no
KbdInteractiveAuthentication no
X11Forwarding no
AllowAgentForwarding no
AllowTcpForwarding local
ClientAliveInterval 300
ClientAliveCountMax 2
TCPKeepAlive no
LogLevel VERBOSE
MaxAuthTries 3
"""


def files(plan: Plan, cloud: dict[str, Any]) -> dict[str, str]:
    """Return the settings: path -> text. `cloud`: cloud-init's, for clones of a golden image."""
    found = {
        "root/etc/cloud/cloud.cfg.d/90-notebake.cfg": json.dumps(cloud) + "\n",
        # The first value of an option counts: before cloud-init's and the image's own files.
        "root/etc/ssh/sshd_config.d/10-notebake.conf": _SSHD.format(user=plan.spec.user),
    }
    found |= features.matplotlibrc(plan)
    if plan.spec.notebook.sudo:
        found["root/etc/sudoers.d/notebake"] = f"{plan.spec.user} ALL=(ALL:ALL) NOPASSWD:ALL\n"
    sources = plan.sources
    if sources.python != default_python_index():
        # For the user's own packages.
        found["root/etc/pip.conf"] = f"[global]\nindex-url = {sources.python}\n"
    if plan.target.family == "apt":
        found["root/etc/apt/apt.conf.d/90notebake"] = "\n".join([*apt_proxy(plan), *_apt(plan), ""])
        if sources.apt_lines:
            found["root/etc/apt/sources.list"] = "\n".join([*sources.apt_lines, ""])
        return found
    if sources.proxy:
        known = {"PROXY_ENABLED": "yes", **sources.proxy}
        found["root/etc/sysconfig/proxy"] = "".join(
            f'{name.upper()}="{value}"\n' for name, value in known.items()
        )
    if sources.zypper:
        found["root/etc/zypp/repos.d/notebake.repo"] = (
            f"[notebake]\nname=notebake\nenabled=1\nautorefresh=1\nbaseurl={sources.zypper}\n"
        )
    return found


def apt_proxy(plan: Plan) -> list[str]:
    """Return apt's settings for the proxy."""
    known = plan.sources.proxy
    schemes = [name for name in ("http", "https") if f"{name}_proxy" in known]
    lines = [f'Acquire::{name}::Proxy "{known[name + "_proxy"]}";' for name in schemes]
    # apt takes no domain: those of its own hosts that are in one.
    urls = re.findall(r"https?://\S+", " ".join(plan.sources.apt_lines))
    for host in sorted({str(urlsplit(url).hostname) for url in urls}):
        if proxy_bypass_environment(host, {"no": known.get("no_proxy", "")}):
            lines += [f'Acquire::{name}::Proxy::{host} "DIRECT";' for name in schemes]
    return lines


def _apt(plan: Plan) -> list[str]:
    """Return apt's settings for the lock that updates may hold, and for the updates themselves."""
    automatic = plan.spec.updates.automatic
    daily = "0" if automatic == "none" else "1"
    lines = [
        'Acquire::Retries "3";',
        'DPkg::Lock::Timeout "900";',
        f'DPkg::Post-Invoke {{ "systemctl reload --no-block {_SERVER} 2>/dev/null || true"; }};',
        f'APT::Periodic::Update-Package-Lists "{daily}";',
        f'APT::Periodic::Unattended-Upgrade "{daily}";',
    ]
    if automatic != "none":
        lines += [
            "#clear Unattended-Upgrade::Allowed-Origins;",
            "#clear Unattended-Upgrade::Origins-Pattern;",
            f'Unattended-Upgrade::Origins-Pattern {{ "{_ORIGINS[automatic]}"; }};',
        ]
    return lines
