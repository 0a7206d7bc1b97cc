"""Open a catalog for a command: whom it trusts, and what this host saw of it before."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from notebake import screen
from notebake.cli import options

if TYPE_CHECKING:
    from notebake.catalog.catalog import Catalog
    from notebake.catalog.signing import Signer, Verifier
    from notebake.catalog.trust import Memory, Pins

_UNSIGNED = click.option(
    "--unsigned", is_flag=True, help="Believe what the catalog says: verify no signature of it."
)


def pins() -> Pins:
    """Return the signers that this user trusts."""
    from notebake import paths
    from notebake.catalog.trust import Pins

    return Pins(paths.config_folder() / "trust.json")


def memory() -> Memory:
    """Return what this user saw of catalogs."""
    from notebake import paths
    from notebake.catalog.trust import Memory

    return Memory(paths.state_folder() / "catalogs")


def _decorator(*, unsigned: bool) -> options.Decorator:
    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def decorated(
            *args: Any, url: str, verifier: Verifier | None, unsigned: bool = False, **kwargs: Any
        ) -> Any:
            opened = functools.cache(lambda: _open(url, verifier, unsigned))
            return command(*args, opened=opened, **kwargs)

        with_options = options.catalog(options.optional_verifier(decorated))
        return _UNSIGNED(with_options) if unsigned else with_options

    return decorate


# Both pass `opened`, a function that returns the catalog, or raises SpecError if nobody may sign it.
reader = _decorator(unsigned=True)
verifying_reader = _decorator(unsigned=False)


def _open(url: str, verifier: Verifier | None, unsigned: bool) -> Catalog:
    from notebake.catalog.catalog import Catalog
    from notebake.catalog.trust import Trust, together
    from notebake.errors import SpecError

    catalog = Catalog(url)
    if unsigned:
        screen.echo(f"note: {url}: signatures are not verified", err=True)
        return catalog
    signers = together(verifier) if verifier else pins().read(catalog.storage.identity)
    if signers is None:
        raise SpecError(
            f"{url}: this host trusts nobody to sign this catalog",
            f"get the public key or the identity from its owner, then: notebake catalog trust KEY --catalog "
            f"{url}; or use --unsigned to believe what it says",
        )
    catalog.trust = Trust(signers, datetime.now(UTC), memory())
    return catalog


def writer(url: str, signer: Signer, now: datetime) -> Catalog:
    """Return the catalog for a command that signs; it trusts the signer and whom the user trusts."""
    return known(url, now).signed_by(signer, now)


def known(url: str, now: datetime) -> Catalog:
    """Return the catalog, which trusts whom the user trusts, if anybody."""
    from notebake.catalog.catalog import Catalog
    from notebake.catalog.trust import Signers, Trust

    catalog = Catalog(url)
    catalog.trust = Trust(pins().read(catalog.storage.identity) or Signers(()), now, memory())
    return catalog
