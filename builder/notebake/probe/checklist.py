"""Every check, in the order they run. Their names are the report's vocabulary."""

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
    not_root,
    plot,
    port_closed,
    profile,
    reboot,
    san,
    tls,
)
from notebake.probe.context import Context
from notebake.probe.subject import Subject


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check: its name, what it proves in words, and how.

    `run` returns a detail for people and raises when the check fails. `unless` gives the reason why
    it cannot be run on a subject, or None.
    """

    name: str
    title: str
    run: Callable[[Context], str]
    unless: Callable[[Subject], str | None] = lambda subject: None


def _no_login(subject: Subject) -> str | None:
    return "no password or token was given" if not subject.secrets else None


def _no_plot(subject: Subject) -> str | None:
    if subject.pylab not in ("inline", "auto"):
        return f"pylab is {subject.pylab!r}: a plot does not go into the page"
    return _no_login(subject)


def _outside_only(subject: Subject) -> str | None:
    return "there is no way into this machine (ssh)" if subject.inside is None else None


def _no_canary(subject: Subject) -> str | None:
    if subject.canary is None:
        return "no port is known that must be closed"
    return _outside_only(subject)


CHECKS: tuple[Check, ...] = (
    Check(name="tls", title="TLS 1.2 or later, a certificate browsers take", run=tls.run),
    Check(name="fingerprint", title="the pinned certificate", run=fingerprint.run),
    Check(name="san", title="the certificate names this machine", run=san.run),
    Check(name="login_refused", title="no entry without the password", run=login_refused.run),
    Check(name="login", title="entry with the password", run=login.run, unless=_no_login),
    Check(name="plot", title="plot(randn(50)) gives a picture", run=plot.run, unless=_no_plot),
    Check(name="profile", title="the kernel has its profile", run=profile.run, unless=_no_login),
    Check(name="builtins", title="Python's builtins are its own", run=builtins.run, unless=_no_login),
    Check(name="not_root", title="the kernel is not root", run=not_root.run, unless=_no_login),
    Check(name="cloud_init", title="cloud-init came to its end", run=cloud_init.run, unless=_outside_only),
    Check(name="port_closed", title="another port is closed", run=port_closed.run, unless=_no_canary),
    Check(name="kill", title="the service comes back after a kill", run=kill.run, unless=_outside_only),
    Check(name="reboot", title="the service comes back after a reboot", run=reboot.run, unless=_outside_only),
)
