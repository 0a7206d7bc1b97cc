"""The firewall by firewalld: ssh and the notebook's port, nothing else."""

from machine import run


def firewall(port):
    """Allow the two ports in the default zone, now and after a reboot."""
    run("systemctl", "enable", "--now", "firewalld.service")
    run("firewall-cmd", "--permanent", "--zone=public", "--add-service=ssh")
    run("firewall-cmd", "--permanent", "--zone=public", f"--add-port={port}/tcp")
    run("firewall-cmd", "--reload")
