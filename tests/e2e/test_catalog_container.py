"""A container from a catalog, by the clients of Incus alone: `incus launch NAME:debian-13/stable`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import tenacity
from tests import catalogs
from tests.conftest import Run
from tests.incus import daemon

from notebake.address import Address
from notebake.bake.bake import Baked
from notebake.machines import console, wait

eventually = tenacity.Retrying(wait=tenacity.wait_fixed(1), stop=tenacity.stop_after_delay(600), reraise=True)


def test_incus_launches_a_container_from_a_catalog(baked: Baked, run: Run, tmp_path: Path) -> None:
    def done(*args: str) -> None:
        code, _, err = run(*args)
        assert code == 0, err

    report = catalogs.probe(baked.image, started=datetime.now(UTC))
    (tmp_path / "probe.json").write_text(report.model_dump_json())
    done("catalog", "key", "key")
    done("catalog", "trust", "key.pub")
    done("catalog", "add", str(baked.image), "--probe", "probe.json", "--key", "key", "--container")
    done("promote", "debian-13@candidate", "--key", "key")
    done("catalog", "verify")
    assert list(baked.image.parent.glob(".container-*")) == []

    with catalogs.served(tmp_path / "catalog", tmp_path) as url, daemon() as incus:
        incus.client("remote", "add", "nb", url, "--protocol=simplestreams")
        incus.client("launch", "nb:debian-13/stable", "one")
        log = ""

        def ready() -> None:
            nonlocal log
            log += incus.client("console", "one", "--show-log")
            assert "notebake: ready" in log, console.tail(log)

        eventually(ready)
        card = incus.address("one")
        assert wait.answer(Address(host=card, port=9999)) == (console.fingerprint(log), 200)
