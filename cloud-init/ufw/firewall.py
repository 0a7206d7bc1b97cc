"""The firewall by ufw: ssh and the notebook's port, nothing else."""

from machine import run


def firewall(port):
    """Allow the two ports and enable ufw."""
    for rule in ("22/tcp", f"{port}/tcp"):
        run("ufw", "allow", rule)
    run("ufw", "--force", "enable")
