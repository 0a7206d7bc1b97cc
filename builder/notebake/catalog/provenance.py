"""Provenance of an image: a statement with a SLSA v1 predicate (https://slsa.dev/spec/v1.0/provenance)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from notebake.catalog import signing
from notebake.errors import RecordError
from notebake.record.record import Record

_PREDICATE = "https://slsa.dev/provenance/v1"
# Identifiers; nothing is served at these URLs.
_BUILD_TYPE = "https://notebake.invalid/bake/v1"
_BUILDER = "https://notebake.invalid/builder"


def statement(record: Record, subjects: Mapping[str, str]) -> bytes:
    """Return the provenance statement (JSON) of `record` on the files `subjects` (name -> SHA-256)."""
    base: dict[str, Any] = {"name": "base", "digest": {"notebakeBaseId": record.base.id}}
    if record.base.sha256:
        base["digest"]["sha256"] = record.base.sha256
    if record.base.url:
        base["uri"] = record.base.url
    dependencies = [base]
    if record.commit is not None:
        dependencies.append({"name": "spec", "digest": {"gitCommit": record.commit.id}})
    predicate = {
        "buildDefinition": {
            "buildType": _BUILD_TYPE,
            "externalParameters": {"target": record.target, "platform": record.platform},
            "internalParameters": {
                "contentId": record.content_id,
                "madeFrom": record.made_from,
                "clean": record.commit.clean if record.commit else None,
                "tools": record.tools,
            },
            "resolvedDependencies": dependencies,
        },
        "runDetails": {
            "builder": {"id": _BUILDER, "version": {"notebake": record.tools.get("notebake", "unknown")}},
            "metadata": {"invocationId": record.content_id, "finishedOn": record.created.isoformat()},
        },
    }
    return signing.statement(_PREDICATE, predicate, subjects)


def subjects(payload: bytes, *, source: str) -> dict[str, str]:
    """Return the files of a provenance statement (name -> SHA-256). Raises RecordError."""
    statement = signing.read(payload, _PREDICATE, source=source)
    try:
        return {file["name"]: file["digest"]["sha256"] for file in statement["subject"]}
    except (KeyError, TypeError) as error:
        raise RecordError(f"{source}: not a provenance statement: {error}") from None
