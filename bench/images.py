"""Versions: content ids, a diff of two records, a large catalog."""

from __future__ import annotations

import hashlib
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.context import Context
from bench.rows import Benchmark, Outcome
from notebake import process
from notebake.bake import inputs
from notebake.bases import releases
from notebake.catalog import head, signing, simplestreams
from notebake.catalog.catalog import Catalog
from notebake.catalog.entry import Entry, File, describe, path
from notebake.errors import SpecError
from notebake.plan import plan, targets
from notebake.provision import files
from notebake.record import diff as diffs
from notebake.record import record
from notebake.record.record import Record
from notebake.record.software import Software, System

CONTENT = Benchmark(
    name="content", what="content id and up-to-date check of all Linux targets", target=1.0, unit=" s"
)
DIFF = Benchmark(name="diff", what="diff of two records with 1,000 packages", target=0.2, unit=" s")
LIST = Benchmark(name="list", what="list a catalog of 10,000 entries", target=1.0, unit=" s")
GROWTH = Benchmark(
    name="list-growth",
    what="list time per entry: 10,000 entries / 1,000 entries, without the time for an empty catalog",
    target=1.5,
)

ENTRIES = 10_000
RUNS = 5


def content(context: Context) -> Outcome:
    """Time all targets in this process, with nothing cached and the versions of the tools read."""
    started = time.monotonic()
    linux = [target for target in targets.all_targets() if not target.is_windows]
    with tempfile.TemporaryDirectory() as folder:
        for target in linux:
            of_target = plan.make(context.plan.spec, target, Path(folder), now=datetime.now(UTC))
            content_id = inputs.identify(
                inputs.inputs(of_target, files.build(of_target), _sources(of_target))
            )
            record.is_current(Path(folder) / f"{target.name}.qcow2", content_id)
    taken = time.monotonic() - started
    return Outcome(value=round(taken, 3), runs=1, detail=f"{len(linux)} targets")


def _sources(of_target: plan.Plan) -> tuple[releases.Release, ...]:
    """Return the package sources as they were read last; none if this host never read them."""
    try:
        return releases.read(of_target, offline=True)
    except SpecError:
        return ()


def fixture(packages: int, *, changed: int) -> Record:
    """Return a record with `packages` OS packages; the first `changed` ones have another version."""
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


def diff(context: Context) -> Outcome:
    """Time reading both from JSON, comparing, and writing Markdown; half of the packages differ."""
    old, new = (fixture(1000, changed=number).to_json() for number in (0, 500))
    started = time.monotonic()
    for _ in range(RUNS):
        records = (record.parse(old, source="old"), record.parse(new, source="new"))
        diffs.markdown(diffs.difference(*records))
    return Outcome(
        value=round((time.monotonic() - started) / RUNS, 4), runs=RUNS, detail="500 of them changed"
    )


def _catalog(folder: Path, entries: int) -> Catalog:
    """Write a catalog of entries without disks, as `add` would."""
    start, all_entries = datetime(2026, 1, 1, tzinfo=UTC), list[Entry]()
    for number in range(entries):
        digest = hashlib.sha256(str(number).encode()).hexdigest()
        files = {
            name: File(sha256=digest, bytes=number)
            for name in ("debian-13.qcow2", "debian-13.incus.tar.xz", "debian-13.json", "SHA256SUMS")
        }
        entry = Entry(
            target="debian-13", version=f"1.{number // 100}.{number % 100}", content_id=digest, probed=True,
            created=start + timedelta(hours=number), made_from="fixture", folder=f"images/debian-13/{number}",
            fingerprint=digest, files=files,
        )  # fmt: skip
        file = folder / path(entry.target, entry.version)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(entry.to_json())
        all_entries.append(entry)
    catalog = Catalog(str(folder))
    for name, data in simplestreams.files(all_entries, {}).items():
        catalog.storage.write(name, data)
    signing.make_key(folder / ".key")
    signer = signing.private_key(folder / ".key")
    digests = {entry.name: describe(entry.to_json()).sha256 for entry in all_entries}
    signed = head.following(None, signer=signer, now=start, entries=digests).sign(signer)
    catalog.storage.write(head.PATH, signed)
    return catalog


# One listing per process, as a user does it: memory that an earlier one left would make the next one faster.
_ONCE = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from notebake.catalog import signing
from notebake.catalog.catalog import Catalog
from notebake.catalog.trust import Trust, together
signers = together(signing.public_key(Path(sys.argv[1], ".key.pub")))
catalog = Catalog(sys.argv[1], Trust(signers, datetime(2026, 1, 2, tzinfo=UTC)))
started = time.monotonic()
count = len(catalog.entries())
print(count, time.monotonic() - started)
"""


def _listing(entries: int) -> float:
    """Return the median time to list a catalog of that many entries."""
    with tempfile.TemporaryDirectory() as folder:
        _catalog(Path(folder), entries)
        taken = []
        for _ in range(RUNS):
            count, seconds = process.run([sys.executable, "-c", _ONCE, folder], timeout=60).stdout.split()
            if int(count) != entries:
                raise RuntimeError(f"{int(count)} of {entries} entries were listed")
            taken.append(float(seconds))
        return sorted(taken)[RUNS // 2]


def list_(context: Context) -> Outcome:
    """Time a listing from a local folder. The head is verified, and each entry in the index by its digest."""
    taken = _listing(ENTRIES)
    return Outcome(value=round(taken, 3), runs=RUNS, detail=f"{taken / ENTRIES * 1e6:.0f} µs each")


def growth(context: Context) -> Outcome:
    """Compare the time per entry of a large and a small catalog; 1 is linear."""
    none, some, many = (_listing(number) for number in (0, ENTRIES // 10, ENTRIES))
    ratio = ((many - none) / ENTRIES) / ((some - none) / (ENTRIES // 10))
    return Outcome(value=round(ratio, 3), runs=RUNS, detail=f"{some * 1000:.0f} ms, {many * 1000:.0f} ms")
