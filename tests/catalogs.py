"""Images for tests: a few bytes of disk each, with the record of a real bake, changed, and marked as a fixture."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from notebake.catalog import add
from notebake.catalog.catalog import Catalog
from notebake.catalog.signing import Signer
from notebake.record import record
from notebake.record.record import ProbeReport, ProbeResult, Record
from notebake.record.software import Software

# As `notebake bake debian-13` wrote it.
REAL = Path(__file__).parent / "data/debian-13-record.json"
START = datetime(2026, 1, 5, 4, 0, tzinfo=UTC)
WEEK = timedelta(days=7)


def real() -> Record:
    """The record of a real bake."""
    return record.load(REAL)


def small() -> Record:
    """The same with a few of its packages: an SBOM of three hundred takes a while."""

    def few(data: dict[str, Any]) -> None:
        for kind in ("os_packages", "python_packages"):
            data[kind] = dict(list(data[kind].items())[:10]) | {
                name: data[kind][name] for name in ("numpy", "pandas", "bash") if name in data[kind]
            }

    return changed(real(), few)


def changed(known: Record, change: Callable[[dict[str, Any]], None]) -> Record:
    """`known` with its software report changed in place by `change`."""
    data = known.software.model_dump(mode="json")
    change(data)
    return known.model_copy(update={"software": Software.model_validate(data)})


def write(folder: Path, number: int, known: Record | None = None) -> Path:
    """An image (not bootable) with its record beside it; `number` makes its bytes and content id its own."""
    disk = f"disk {number}\n".encode() * 50
    image = folder / str(number) / "debian-13.qcow2"
    image.parent.mkdir(parents=True)
    image.write_bytes(disk)
    found = (known or small()).model_copy(
        update={
            "made_from": "fixture",
            "content_id": hashlib.sha256(str(number).encode()).hexdigest(),
            "image": record.Image(
                file=image.name,
                sha256=hashlib.sha256(disk).hexdigest(),
                bytes=len(disk),
                mtime_ns=image.stat().st_mtime_ns,
            ),
        }
    )
    record.write(image, found)
    return image


def probe(*, passed: bool = True) -> ProbeReport:
    """A probe report as `notebake probe --json` prints it."""
    return ProbeReport(
        address="https://127.0.0.1:8443/",
        started=START,
        passed=passed,
        seconds=1.5,
        results=(
            ProbeResult(name="tls", status="passed", seconds=0.5, detail="TLS 1.3"),
            ProbeResult(name="plot", status="passed" if passed else "failed", seconds=1.0, detail=""),
        ),
    )


def put(catalog: Catalog, folder: Path, number: int, signer: Signer, **more: Any) -> str:
    """Add image `number`, made `number` weeks after START; its TARGET@VERSION."""
    image, now = write(folder, number, more.get("known")), START + number * WEEK
    return add.add(catalog, image, signer=signer, now=now, probe=more.get("probe", probe())).entry.name


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
