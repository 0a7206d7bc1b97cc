"""All checks, in the order in which they run. Reports use their names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from notebake.probe.checks import (
    builtins,
    cloud_init,
    fingerprint,
    kill,
    login,
    login_refused,
    metadata,
    not_root,
    own_packages,
    plot,
    port_closed,
    profile,
    reboot,
    restart,
    san,
    tls,
    updates,
)
from notebake.probe.context import Context
from notebake.probe.subject import Subject


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check of the probe.

    `title`: what it verifies, for users. `run`: returns a detail for users; raises if the check fails.
    `unless`: returns the reason to skip it for a subject, or None.
    """

    name: str
    title: str
    run: Callable[[Context], str]
    unless: Callable[[Subject], str | None] = lambda subject: None

    @property
    def inside(self) -> bool:
        """Whether it needs ssh access to the machine."""
        return self.unless in (_no_ssh, _no_network, _no_canary)


def _no_login(subject: Subject) -> str | None:
    return "no password or token was given" if not subject.secrets else None


def _no_metadata(subject: Subject) -> str | None:
    return "the spec opens it: metadata = true" if subject.metadata else _no_login(subject)


def _no_plot(subject: Subject) -> str | None:
    if subject.pylab not in ("inline", "auto"):
        return f"pylab is {subject.pylab!r}: plots are not shown in the page"
    return _no_login(subject)


def _no_ssh(subject: Subject) -> str | None:
    return "there is no ssh access to this machine" if subject.inside is None else None


def _no_network(subject: Subject) -> str | None:
    return "this machine has no outgoing network" if subject.offline else _no_ssh(subject)


def _no_canary(subject: Subject) -> str | None:
    if subject.canary is None:
        return "the address of a port that must be closed is not known"
    return _no_ssh(subject)


CHECKS: tuple[Check, ...] = (
    Check(name="tls", title="TLS 1.2 or later, with a certificate that browsers accept", run=tls.run),
    Check(name="fingerprint", title="the certificate is the pinned one", run=fingerprint.run),
    Check(name="san", title="the certificate names this machine", run=san.run),
    Check(name="login_refused", title="no access without the password", run=login_refused.run),
    Check(name="login", title="access with the password", run=login.run, unless=_no_login),
    Check(name="plot", title="plot(randn(50)) shows a plot", run=plot.run, unless=_no_plot),
    Check(name="profile", title="the kernel uses its profile", run=profile.run, unless=_no_login),
    Check(name="builtins", title="Python's builtins are not replaced", run=builtins.run, unless=_no_login),
    Check(name="not_root", title="the kernel is not root", run=not_root.run, unless=_no_login),
    Check(
        name="own_packages",
        title="packages can be installed",
        run=own_packages.run,
        unless=_no_login,
    ),
    Check(
        name="metadata",
        title="kernels cannot reach the cloud's metadata",
        run=metadata.run,
        unless=_no_metadata,
    ),
    Check(name="cloud_init", title="cloud-init finished", run=cloud_init.run, unless=_no_ssh),
    Check(name="port_closed", title="other ports are closed", run=port_closed.run, unless=_no_canary),
    Check(name="updates", title="security updates are available", run=updates.run, unless=_no_network),
    Check(name="restart", title="no update waits for a restart", run=restart.run, unless=_no_ssh),
    Check(name="kill", title="the service restarts after a kill", run=kill.run, unless=_no_ssh),
    Check(name="reboot", title="the service starts after a reboot", run=reboot.run, unless=_no_ssh),
)
