"""What versions cost: content ids, a difference, a long catalog."""

from __future__ import annotations

import hashlib
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.rows import Outcome, Promise
from bench.workshop import Workshop
from notebake import process
from notebake.bake import inputs
from notebake.catalog import simplestreams
from notebake.catalog.catalog import Catalog
from notebake.catalog.entry import Entry, File, path
from notebake.plan import plan, targets
from notebake.provision import files
from notebake.record import diff as diffs
from notebake.record import record
from notebake.record.record import Record
from notebake.record.software import Software, System

CONTENT = Promise(
    name="content", what="content id and up-to-date check of all targets", target=1.0, unit=" s"
)
DIFF = Promise(name="diff", what="difference of two records of 1,000 packages", target=0.2, unit=" s")
LIST = Promise(name="list", what="list a catalog of 10,000 entries", target=1.0, unit=" s")
GROWTH = Promise(
    name="list-growth",
    what="time an entry, 10,000 listed / 1,000 listed, less what listing none costs",
    target=1.5,
)

ENTRIES = 10_000
RUNS = 5


def content(workshop: Workshop) -> Outcome:
    """In one process from nothing, with the tools asked for their versions."""
    started = time.monotonic()
    rows = [item for item in targets.all_targets() if item.family != "windows"]
    with tempfile.TemporaryDirectory() as folder:
        for target in rows:
            made = plan.make(workshop.plan.spec, target, Path(folder), now=datetime.now(UTC))
            record.is_current(
                Path(folder) / f"{target.name}.qcow2", inputs.identify(inputs.inputs(made, files.build(made)))
            )
    taken = time.monotonic() - started
    return Outcome(value=round(taken, 3), runs=1, detail=f"{len(rows)} targets")


def fixture(packages: int, *, changed: int) -> Record:
    names = {f"package-{number}": f"1.{number % 7}.{int(number < changed)}" for number in range(packages)}
    return Record.model_validate(
        {
            "format": record.FORMAT, "made_from": "fixture", "content_id": "0" * 64, "inputs": {},
            "target": "debian-13", "platform": "qemu", "created": datetime.fromtimestamp(0, UTC),
            "base": {"id": "0"}, "packages": [], "tools": {}, "steps": [],
            "machine": {"user": "u", "port": 9999, "public_port": 443, "profile": "p", "pylab": "inline",
                        "login": "token", "own_certificate": False},
            "image": {"file": "debian-13.qcow2", "sha256": "0" * 64, "bytes": 1, "mtime_ns": 0},
            "software": Software(
                system=System(id="debian", version="13", title="Debian", packages="deb"), python="3.13.5",
                os_packages=names, python_packages={}, units={}, ports=(), users={}, setuid={}, firewall=(),
            ),
        }
    )  # fmt: skip


def diff(workshop: Workshop) -> Outcome:
    """Both read from JSON, compared, and written as Markdown; half of the packages differ."""
    old, new = (fixture(1000, changed=number).to_json() for number in (0, 500))
    started = time.monotonic()
    for _ in range(RUNS):
        records = (record.parse(old, source="old"), record.parse(new, source="new"))
        diffs.markdown(diffs.difference(*records))
    return Outcome(
        value=round((time.monotonic() - started) / RUNS, 4), runs=RUNS, detail="500 of them changed"
    )


def _catalog(folder: Path, entries: int) -> Catalog:
    """A catalog of entries without disks, as `add` would have written it."""
    start, rows = datetime(2026, 1, 1, tzinfo=UTC), []
    for number in range(entries):
        digest = hashlib.sha256(str(number).encode()).hexdigest()
        files = {
            name: File(sha256=digest, bytes=number)
            for name in ("debian-13.qcow2", "debian-13.json", "debian-13.cdx.json", "SHA256SUMS")
        }
        item = Entry(
            target="debian-13", version=f"1.{number // 100}.{number % 100}", content_id=digest, probed=True,
            created=start + timedelta(hours=number), made_from="fixture", folder=f"images/debian-13/{number}",
            files=files,
        )  # fmt: skip
        file = folder / path(item.target, item.version)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(item.to_json())
        rows.append(item)
    catalog = Catalog(str(folder))
    for name, data in simplestreams.files(rows).items():
        catalog.storage.write(name, data)
    return catalog


# A person lists once in a process: memory that an earlier listing left would make short ones cheap.
_ONCE = """
import sys, time
from notebake.catalog.catalog import Catalog
catalog = Catalog(sys.argv[1])
started = time.monotonic()
found = len(catalog.entries())
print(found, time.monotonic() - started)
"""


def _listing(entries: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        _catalog(Path(folder), entries)
        taken = []
        for _ in range(RUNS):
            found, seconds = process.run([sys.executable, "-c", _ONCE, folder], timeout=60).stdout.split()
            if int(found) != entries:
                raise RuntimeError("not all entries were listed")
            taken.append(float(seconds))
        return sorted(taken)[RUNS // 2]


def list_(workshop: Workshop) -> Outcome:
    """From a local folder, index and entries' names read each time."""
    taken = _listing(ENTRIES)
    return Outcome(value=round(taken, 3), runs=RUNS, detail=f"{taken / ENTRIES * 1e6:.0f} µs each")


def growth(workshop: Workshop) -> Outcome:
    """Linear is 1."""
    none, some, many = (_listing(number) for number in (0, ENTRIES // 10, ENTRIES))
    ratio = ((many - none) / ENTRIES) / ((some - none) / (ENTRIES // 10))
    return Outcome(value=round(ratio, 3), runs=RUNS, detail=f"{some * 1000:.0f} ms, {many * 1000:.0f} ms")
