"""The spec's table on package sources: `[mirrors]`."""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from notebake import urls
from notebake.validation import StrictModel

SCHEMES = (*urls.WEB, "file")


def check_proxy(url: str) -> None:
    """Raise ValueError unless `url` is a proxy's."""
    try:
        path = urls.parse(url).path
    except ValueError as error:
        raise ValueError(f"not the URL of a proxy, as in http://proxy.example:3128: {error}") from None
    if path not in ("", "/"):
        raise ValueError("not the URL of a proxy, as in http://proxy.example:3128: it has a path")


class Mirrors(StrictModel):
    """Package sources for the machine, for networks with their own mirrors."""

    apt: str | None = Field(None, description="Debian or Ubuntu mirror (URL): the release and its updates.")
    apt_security: str | None = Field(
        None,
        description="Mirror of its security updates (URL). Default: on Debian Debian's own, on Ubuntu `apt`.",
    )
    apt_components: tuple[str, ...] = Field(
        (),
        description="Components taken from both. Default: on Debian `main`, on Ubuntu all four.",
    )
    zypper: str | None = Field(None, description="openSUSE repository (URL).")
    python: str | None = Field(None, description="Python package index (URL of its simple API).")
    proxy: str | None = Field(
        None,
        description="Proxy (URL, http or https) of set-up, apt, zypper and the Python index; not on Windows.",
    )
    no_proxy: tuple[str, ...] = Field((), description="Hosts and domains that are reached without it.")
    proxy_for_users: bool = Field(False, description="Kernels and terminals get the proxy too.")
    ca_certificates: tuple[str, ...] = Field(
        (), description="Additional CA certificates to trust (PEM files)."
    )

    @field_validator("apt_components")
    @classmethod
    def _components(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not re.fullmatch(r"[a-z][a-z0-9-]*(/[a-z][a-z0-9-]*)*", name):
                raise ValueError(f"{name!r} is not a component, as in `main`")
        return value

    @field_validator("no_proxy")
    @classmethod
    def _hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not re.fullmatch(r"[A-Za-z0-9._*:/\[\]-]+", name):
                raise ValueError(f"{name!r} is neither a host nor a domain")
        return value

    @field_validator("proxy")
    @classmethod
    def _proxy(cls, value: str | None) -> str | None:
        if value is not None and "@" in value:
            raise ValueError(
                "a user or password in it would be rendered in plain text: let the proxy know the machines "
                "by their addresses, or name a proxy of your own network that logs in for them"
            )
        if value is not None:
            check_proxy(value)
        return value

    @field_validator("apt", "apt_security", "zypper", "python")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        if value is not None:
            urls.parse(value, schemes=SCHEMES, query=True)
        return value
