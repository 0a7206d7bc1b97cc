"""The firewall by nftables: ssh and the notebook's port, nothing else."""

from pathlib import Path

from machine import run, write
from paths import GUEST


def firewall(port):
    """Write the rules of firewall.nft and load them."""
    rules = (GUEST / "firewall.nft").read_text().replace("@port@", str(port))
    write(Path("/etc/nftables.conf"), rules, 0o755)
    run("systemctl", "enable", "nftables.service")
    run("systemctl", "restart", "nftables.service")
