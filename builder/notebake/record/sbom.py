"""Render the software of an image as CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/)."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from notebake import documents
from notebake.record.record import Record
from notebake.record.software import Software

# A namespace for uuid5: the same image has the same serial number everywhere.
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "notebake.sbom")


def path_for(image: Path) -> Path:
    """Return the path of the SBOM of `image`: the same name, ending in .cdx.json."""
    return image.with_suffix(".cdx.json")


def _os_purl(software: Software, key: str, version: str) -> PackageURL:
    """Return the purl that scanners match: `arch`, `distro`, and `upstream`, the source package.

    `upstream` is not in the purl specification; syft writes and grype reads it: NAME, NAME@VERSION, or
    the file name of an rpm. The epoch of an rpm is a qualifier.
    """
    # `name:arch`, or `name:version` for rpm packages in several versions
    # (images/_shared/linux/scripts/report.py).
    name = key.split(":", 1)[0]
    system, origin = software.system, software.os_origins.get(key)
    qualifiers = {"distro": "-".join(filter(None, (system.id, system.version)))}
    if origin:
        qualifiers["arch"] = origin.architecture
        upstream = "" if origin.source in (name, "(none)") else origin.source
        if system.packages == "deb" and origin.source_version not in ("", version):
            upstream = f"{origin.source}@{origin.source_version}"
        qualifiers["upstream"] = upstream
    if system.packages == "rpm" and ":" in version:
        qualifiers["epoch"], version = version.split(":", 1)
    vendor = "opensuse" if system.id.startswith("opensuse") else system.id
    return PackageURL(
        system.packages, vendor, name, version, {key: value for key, value in qualifiers.items() if value}
    )


def _components(software: Software) -> Iterator[Component]:
    rows = [(_os_purl(software, *row), *row) for row in software.os_packages.items()]
    rows += [
        (PackageURL("pypi", None, name, version), name, version)
        for name, version in software.python_packages.items()
    ]
    for purl, name, version in rows:
        yield Component(
            name=name,
            version=version,
            type=ComponentType.LIBRARY,
            purl=purl,
            bom_ref=f"{purl.to_string()}#{name}",
        )


def render(record: Record) -> bytes:
    """Return the SBOM of the record's image (JSON). Same record, same bytes."""
    software = record.software
    image = Component(
        name=record.target,
        version=record.version or record.content_id[:12],
        # CycloneDX: a format that isolates software "through virtualization technology".
        type=ComponentType.CONTAINER,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=record.image.sha256)],
        bom_ref="image",
    )
    # Scanners take the distribution from it.
    system = Component(
        name=software.system.id,
        version=software.system.version or None,
        type=ComponentType.OPERATING_SYSTEM,
        description=software.system.title,
        bom_ref="operating-system",
    )
    bom = Bom(
        serial_number=uuid.uuid5(_NAMESPACE, f"{record.content_id} {record.image.sha256}"),
        metadata=BomMetaData(component=image, timestamp=record.created),
        components=[system, *_components(software)],
    )
    bom.register_dependency(image, bom.components)
    text = documents.parse_json(JsonV1Dot6(bom).output_as_string().encode())
    return (json.dumps(text, indent=1, sort_keys=True) + "\n").encode()
