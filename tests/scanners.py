"""Scanners that others have written: what each finds on a machine."""

from __future__ import annotations

import re
from collections.abc import Callable

import uv

from notebake import process
from notebake.address import Address

# In an environment of its own: it needs an older cryptography than this project.
SSLYZE = ("tool", "run", "--quiet", "--from", "sslyze==6.3.1", "sslyze")
# The kernel is the host's, with its settings but for the network's.
NOT_THE_CONTAINERS = (
    "KRNL-5830",
    "KRNL-6000:dev.tty.ldisc_autoload",
    "KRNL-6000:fs.protected_fifos",
    "KRNL-6000:fs.protected_hardlinks",
    "KRNL-6000:fs.protected_regular",
    "KRNL-6000:fs.protected_symlinks",
    "KRNL-6000:kernel.core_uses_pid",
    "KRNL-6000:kernel.ctrl-alt-del",
    "KRNL-6000:kernel.kptr_restrict",
    "KRNL-6000:kernel.unprivileged_bpf_disabled",
)


def open_ports(host: str) -> set[int]:
    """Return which of all 65,535 TCP ports of `host`, an IP address, answer to nmap."""
    argv = ["nmap", "-n", "-Pn", "-p-", "--min-rate", "5000", "-oG", "-", host]
    output = process.run(argv, timeout=600).stdout.decode()
    assert "Status: Up" in output, output
    return {int(port) for port in re.findall(r"\b(\d+)/open/tcp/", output)}


def tls_problems(address: Address) -> set[str]:
    """Return the names of sslyze's findings against Mozilla's intermediate configuration."""
    argv = [uv.find_uv_bin(), *SSLYZE, "--mozilla_config", "intermediate", str(address)]
    output = process.run(argv, timeout=600, check=False).stdout.decode()
    _, heading, result = output.partition("COMPLIANCE AGAINST TLS CONFIGURATION")
    assert heading, output
    return set(re.findall(r"^ +\* (\w+):", result, re.MULTILINE))


def hardening(shell: Callable[[str], str]) -> tuple[int, str]:
    """Return lynis's index (0 to 100) of a container with Debian, and its findings.

    `shell` runs a script in the container as root and returns its output.
    """
    # It may hold the lock of the lists, for which apt does not wait.
    shell("systemctl stop apt-daily.timer apt-daily.service")
    shell("apt-get update -q && apt-get install -qy --no-install-recommends lynis")
    skipped = "\\n".join(f"skip-test={each}" for each in NOT_THE_CONTAINERS)
    shell(f"printf '{skipped}\\n' >/etc/lynis/custom.prf")
    shell("lynis audit system --quick --no-colors")
    report = shell("cat /var/log/lynis-report.dat")
    (index,) = re.findall(r"^hardening_index=(\d+)$", report, re.MULTILINE)
    return int(index), "\n".join(re.findall(r"^(?:warning|suggestion)\[\]=.*", report, re.MULTILINE))
