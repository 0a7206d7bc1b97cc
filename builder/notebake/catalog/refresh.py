"""Sign the head again, so that readers know that nothing newer is hidden."""

from __future__ import annotations

from datetime import datetime, timedelta

from notebake.catalog import head as heads
from notebake.catalog.catalog import Catalog
from notebake.catalog.head import Head
from notebake.catalog.signing import Signer
from notebake.errors import RecordError

_ATTEMPTS = 20


def refresh(
    catalog: Catalog,
    *,
    signer: Signer,
    now: datetime,
    valid: timedelta | None = None,
    expired: bool = False,
    new: bool = False,
) -> Head | None:
    """Sign the next head, with the same content, and return it; None for an empty catalog.

    `valid`: for this and later heads; None: as long as before. `expired`: the head before may be expired
    although this host has not seen it. `new`: `signer` may be one that never signed this catalog, if this
    host trusts one that did. Raises RecordError.
    """
    catalog = catalog.signed_by(signer, now, expired=expired, new=new)
    for _ in range(_ATTEMPTS):
        head = catalog.newest()
        if head is None:
            return None
        following = heads.following(head, signer=signer, now=now, valid=valid)
        try:
            catalog.publish(following, signer)
        except FileExistsError:
            continue
        catalog.write_index(done=f"head {following.number} is signed")
        return following
    raise RecordError(f"{catalog.storage.url}: too many concurrent writers", "run the same command again")
