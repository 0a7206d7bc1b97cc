"""How a Linux machine stays up to date: its programs, timers and units."""

from __future__ import annotations

from notebake import paths
from notebake.plan.plan import Plan

# Debian's and Ubuntu's own; zypper has none.
_APT_TIMERS = ("apt-daily.timer", "apt-daily-upgrade.timer")


def timers(plan: Plan) -> list[str]:
    """Return the distribution's own timers, which must rest during set-up."""
    return list(_APT_TIMERS) if plan.target.family == "apt" else []


def programs(plan: Plan) -> dict[str, str]:
    """Return the programs that automatic updates need: program -> package."""
    if plan.target.family == "apt" and plan.spec.updates.automatic != "none":
        return {"unattended-upgrade": "unattended-upgrades"}
    return {}


def units(plan: Plan) -> dict[str, str]:
    """Return the units of updates and reboots: path -> text."""
    updates = plan.spec.updates
    found: dict[str, str] = {}
    if plan.target.family == "zypper" and updates.automatic != "none":
        found |= _unit("zypper-updates/notebake-updates", "@command@", _zypper(plan))
    if updates.reboot:
        found |= _unit("reboot/notebake-reboot", "@time@", updates.reboot)
    return found


def _unit(name: str, mark: str, value: str) -> dict[str, str]:
    """Return a timer, which is enabled, and its service, which only the timer starts."""
    path = paths.data_folder("cloud-init") / name
    places = {
        ".timer": f"units/{path.name}.timer",
        ".service": f"root/etc/systemd/system/{path.name}.service",
    }
    return {
        place: path.with_suffix(suffix).read_text("utf-8").replace(mark, value)
        for suffix, place in places.items()
    }


def _zypper(plan: Plan) -> str:
    """Return zypper's arguments. Updates that want a reboot are installed; the reboot is not done."""
    options = "--non-interactive --non-interactive-include-reboot-patches"
    if plan.target.rolling:
        return f"{options} dist-upgrade --auto-agree-with-licenses"
    if plan.spec.updates.automatic == "all":
        return f"{options} update --auto-agree-with-licenses"
    return f"{options} patch --auto-agree-with-licenses --category security"
