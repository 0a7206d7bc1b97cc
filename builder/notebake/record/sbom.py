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

from notebake.record.record import Record
from notebake.record.software import Software

# A namespace for uuid5: the same image has the same serial number everywhere.
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "notebake.sbom")


def path_for(image: Path) -> Path:
    """Return the path of the SBOM of `image`: the same name, ending in .cdx.json."""
    return image.with_suffix(".cdx.json")


def _os_purl(software: Software, name: str, version: str) -> PackageURL:
    # `name:arch`, or `name:version` for rpm packages in several versions
    # (images/_shared/linux/scripts/report.py).
    package = name.split(":", 1)[0]
    release = {"distro": f"{software.system.id}-{software.system.version}"}
    vendor = "opensuse" if software.system.id.startswith("opensuse") else software.system.id
    return PackageURL(software.system.packages, vendor, package, version, release)


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
    system = Component(
        name=record.target,
        version=record.version or record.content_id[:12],
        type=ComponentType.OPERATING_SYSTEM,
        description=software.system.title,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=record.image.sha256)],
        bom_ref="image",
    )
    bom = Bom(
        serial_number=uuid.uuid5(_NAMESPACE, f"{record.content_id} {record.image.sha256}"),
        metadata=BomMetaData(component=system, timestamp=record.created),
        components=list(_components(software)),
    )
    bom.register_dependency(system, bom.components)
    text = json.loads(JsonV1Dot6(bom).output_as_string())
    return (json.dumps(text, indent=1, sort_keys=True) + "\n").encode()
