"""Images for tests: small fake disks, with the record of a real bake, changed and marked as a fixture."""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from tests.certificates import issue
from tests.loopback import Quiet, serving

from notebake.catalog import add, refresh, verify
from notebake.catalog import head as heads
from notebake.catalog.catalog import Catalog
from notebake.catalog.entry import Entry, describe, path
from notebake.catalog.gate import Gate
from notebake.catalog.head import Head
from notebake.catalog.signing import Signer, Verifier
from notebake.catalog.trust import Trust, together
from notebake.probe.checklist import CHECKS
from notebake.record import record
from notebake.record.record import ProbeReport, ProbeResult, Record
from notebake.record.software import Software

# Written by `notebake bake debian-13`.
REAL = Path(__file__).parent / "data/debian-13-record.json"
START = datetime(2026, 1, 5, 4, 0, tzinfo=UTC)
WEEK = timedelta(days=7)


def real() -> Record:
    """Return the record of a real bake."""
    return record.load(REAL)


def small() -> Record:
    """Return the same record with a few of its packages: an SBOM of 300 packages takes long."""

    def few(data: dict[str, Any]) -> None:
        for kind in ("os_packages", "python_packages"):
            data[kind] = dict(list(data[kind].items())[:10]) | {
                name: data[kind][name] for name in ("numpy", "pandas", "bash") if name in data[kind]
            }

    return changed(real(), few)


def changed(known: Record, change: Callable[[dict[str, Any]], None]) -> Record:
    """Return `known` with its software inventory changed by `change`, which modifies a dict."""
    data = known.software.model_dump(mode="json")
    change(data)
    return known.model_copy(update={"software": Software.model_validate(data)})


def write(folder: Path, number: int, known: Record | None = None) -> Path:
    """Write image `number` (not bootable) with its record; each has its own bytes and content id."""
    disk = f"disk {number}\n".encode() * 50
    image = folder / str(number) / "debian-13.qcow2"
    image.parent.mkdir(parents=True)
    image.write_bytes(disk)
    its_record = (known or small()).model_copy(
        update={
            "made_from": "fixture",
            "content_id": hashlib.sha256(str(number).encode()).hexdigest(),
            "image": record.Image(
                file=image.name,
                sha256=hashlib.sha256(disk).hexdigest(),
                bytes=len(disk),
                mtime_ns=image.stat().st_mtime_ns,
            ),
            "created": START - timedelta(hours=1),
        }
    )
    record.write(image, its_record)
    return image


def probe(
    image: Path | None = None, *, passed: bool = True, reboot: float = 40.0, **more: Any
) -> ProbeReport:
    """Return a probe report as `notebake probe --json` prints it for a machine from `image`.

    All checks passed, or all but `plot`. `reboot`: seconds of that check. `more`: other fields.
    """
    results = [
        ProbeResult(
            name=check.name,
            status="failed" if check.name == "plot" and not passed else "passed",
            seconds=reboot if check.name == "reboot" else 0.5,
            detail="",
        )
        for check in CHECKS
    ]
    digest = record.load(image).image.sha256 if image else None
    fields = {"address": "https://127.0.0.1:8443/", "image": digest, "started": START, "passed": passed,
              "seconds": 1.5, "results": tuple(results)}  # fmt: skip
    return ProbeReport.model_validate(fields | more)


@contextmanager
def served(folder: Path, scratch: Path) -> Iterator[str]:
    """Serve a catalog's folder over HTTPS, by a plain web server; yield its address.

    Programs that are started in the block trust its certificate. `scratch`: a folder for that.
    """
    pair = issue("127.0.0.1", names=("127.0.0.1",), now=datetime.now(UTC))
    (scratch / "server.pem").write_bytes(pair.key_pem + pair.pem)
    (scratch / "trusted.pem").write_bytes(pair.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(scratch / "server.pem")
    with (
        pytest.MonkeyPatch.context() as patch,
        serving(partial(_Files, directory=str(folder)), context) as url,
    ):
        patch.setenv("SSL_CERT_FILE", str(scratch / "trusted.pem"))
        yield url


class _Files(Quiet, SimpleHTTPRequestHandler):
    """The files of a folder."""


def put(catalog: Catalog, folder: Path, number: int, signer: Signer, **more: Any) -> str:
    """Add image `number`, made `number` weeks after START; return its TARGET@VERSION.

    `probe`: its report, made for this image; None: it was not probed. The head of the catalog stays valid.
    """
    image, now = write(folder, number, more.get("known")), START + number * WEEK
    report = more.get("probe", probe())
    if report is not None:
        report = report.model_copy(update={"image": record.load(image).image.sha256})
    settings = {name: more[name] for name in ("gate", "container") if name in more}
    added = add.add(catalog, image, signer=signer, now=now, probe=report, **settings)
    head = catalog.head()
    if head is not None and head.number == 1:
        refresh.refresh(catalog, signer=signer, now=now, valid=timedelta(days=36500))
    return added.entry.name


def trusting(catalog: Catalog, verifier: Verifier, now: datetime = START + 400 * WEEK) -> Catalog:
    """Return the catalog for a reader who trusts `verifier`, at a time when all heads of `put` are valid."""
    return Catalog(catalog.storage.url, Trust(together(verifier), now))


def sign(catalog: Catalog, signer: Signer, **changes: Any) -> Head:
    """Sign the next head with `changes` (fields of Head), as whoever has the key can; return it."""
    head = catalog.head()
    assert head is not None
    changed = heads.following(head, signer=signer, now=head.issued).model_copy(update=changes)
    catalog.storage.write(heads.path(changed.number), changed.sign(signer))
    catalog.storage.write(heads.PATH, changed.sign(signer))
    return changed


def forge(catalog: Catalog, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the statement of the head, as whoever can write to the catalog can; keep its signature."""
    envelope = json.loads(catalog.storage.read(heads.PATH))
    statement = json.loads(base64.b64decode(envelope["payload"]))
    change(statement)
    envelope["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    catalog.storage.write(heads.PATH, json.dumps(envelope).encode())


def replace(catalog: Catalog, entry: Entry, name: str, data: bytes) -> None:
    """Replace a file of `entry`, and make its entry, the head and the index match, without the key."""
    catalog.storage.write(f"{entry.folder}/{name}", data)
    changed = entry.model_copy(update={"files": entry.files | {name: describe(data)}})
    catalog.storage.write(path(entry.target, entry.version), changed.to_json())

    def list_it(statement: dict[str, Any]) -> None:
        for subject in statement["subject"]:
            if subject["name"] == path(entry.target, entry.version):
                subject["digest"]["sha256"] = describe(changed.to_json()).sha256

    forge(catalog, list_it)
    head = catalog.head()
    assert head is not None
    for name, index in catalog.index(head, indexed=False).items():
        catalog.storage.write(name, index)


def problems(catalog: Catalog, verifier: Verifier, *now: datetime) -> list[str]:
    """Return what `catalog verify` finds for that reader."""
    return verify.problems(trusting(catalog, verifier, *now))


def bumped(known: Record, **versions: str) -> Record:
    """Return `known` with these Python packages in these versions, and with installed sizes."""

    def change(data: dict[str, Any]) -> None:
        data["python_packages"].update(versions)
        names = sorted(data["python_packages"])
        data["python_sizes"] = {name: 1_000_000 * (place + 1) for place, name in enumerate(names)}
        data["os_sizes"] = dict.fromkeys(data["os_packages"], 250_000)

    return changed(known, change)


def scanned(path: Path, *rows: tuple[str, str, str, str]) -> Gate:
    """Return a gate with a report of grype, written to `path`: (id, severity, package, version)."""
    matches = [
        {
            "vulnerability": {"id": name, "severity": severity, "fix": {"versions": ["99"]}},
            "artifact": {"name": package, "version": version},
        }
        for name, severity, package, version in rows
    ]
    path.write_text(json.dumps({"matches": matches}))
    return Gate(path, (), "critical")


def snapshot(folder: Path) -> dict[str, bytes]:
    """Return every file of a folder: path -> content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
