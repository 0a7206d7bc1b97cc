"""Check, before a long bake, that a catalog can be read and written, and that the signer is the right one."""

from __future__ import annotations

import secrets

from notebake.catalog import channels, provenance
from notebake.catalog.catalog import Catalog
from notebake.catalog.entry import PROVENANCE
from notebake.catalog.signing import Signer
from notebake.errors import CommandFailed, NotebakeError


def check(catalog: Catalog, signer: Signer) -> int:
    """Return how many versions the catalog has, once everything that a new version needs was tried.

    The newest version and the channels of each target are verified with the signer's own key or identity. A
    hidden file is written and removed again. Raises CommandFailed for the storage, RecordError for a catalog
    of another signer, SpecError for a signer that cannot sign.
    """
    signer.check()
    entries = catalog.entries()
    for target in {entry.target for entry in entries}:
        newest = [entry for entry in entries if entry.target == target][-1]
        source = f"{newest.name}: {PROVENANCE}"
        statement = signer.verifier.verify(catalog.file(newest, PROVENANCE), source=source)
        provenance.subjects(statement, source=source)
        channels.moves(catalog.storage, target, signer.verifier)
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
