"""Check, before a long bake, that a catalog can be read and written, and that the signer is the right one."""

from __future__ import annotations

import secrets
from datetime import datetime

from notebake.catalog import verify
from notebake.catalog.catalog import Catalog
from notebake.catalog.signing import Signer
from notebake.errors import CommandFailed, NotebakeError


def check(catalog: Catalog, signer: Signer, now: datetime) -> int:
    """Return how many versions the catalog has, once everything that a new version needs was tried.

    The head and the newest version of each target are verified. A hidden file is written and removed again.
    Raises CommandFailed for the storage, RecordError for a catalog of another signer or one whose head
    expired, SpecError for a signer that cannot sign.
    """
    signer.check()
    catalog = catalog.signed_by(signer, now)
    head = catalog.newest()
    if head is None:
        catalog.check_empty()
    entries = catalog.entries(head=head) if head else []
    for newest in {entry.target: entry for entry in entries}.values():
        verify.record(catalog, newest, catalog.verifier(head))
    _write(catalog)
    return len(entries)


def _write(catalog: Catalog) -> None:
    storage, name, data = catalog.storage, f".access-{secrets.token_hex(8)}", secrets.token_bytes(16)
    existed = storage.local is None or storage.local.exists()
    try:
        storage.create(name, data)
    except FileNotFoundError:
        raise CommandFailed(
            f"{storage.url}: does not exist, and cannot be created", "create the bucket, container or folder"
        ) from None
    try:
        if storage.read(name) != data:
            raise CommandFailed(f"{storage.url}: returned other bytes than were written", "check the storage")
    finally:
        try:
            storage.remove(name)
        except NotebakeError as error:
            raise CommandFailed(
                f"{error.message}: the file was written, but cannot be removed",
                f"give the permission to delete, which `prune` and a failed `add` need, and remove {name}",
            ) from None
        if not existed and storage.local is not None:
            storage.local.rmdir()
