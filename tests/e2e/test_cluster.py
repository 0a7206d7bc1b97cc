"""Three members of an Incus cluster run nine machines: one member ends and comes back."""

from __future__ import annotations

import json

import pytest
import tenacity
from tests.cluster import cluster
from tests.conftest import Run
from tests.e2e.families import LIMIT, Sealed

from notebake import launch
from notebake.machines import incus_client, wait
from notebake.machines.machine import Machine

eventually = tenacity.Retrying(wait=tenacity.wait_fixed(1), stop=tenacity.stop_after_delay(300), reraise=True)
# What a member has its part in; test_families.py has them all.
CHECKS = [word for name in ("tls", "fingerprint", "login", "plot") for word in ("--check", name)]


@pytest.mark.parametrize("family", ["opensuse-shape"], indirect=True)
def test_a_member_that_ends_takes_its_machines_only_and_brings_them_back(golden: Sealed, run: Run) -> None:
    def states() -> dict[str, str]:
        return {row["name"]: row["state"] for row in json.loads(run("ps", "--json")[1])}

    def answer(machines: list[Machine]) -> None:
        for machine in machines:
            assert wait.answer(machine.address) == (machine.fingerprint, 200), machine.name

    with cluster() as lab:
        settings = {
            "platform": "incus", "remote": "lab", "offline": True, "memory_mib": 512, "limit": LIMIT
        }  # fmt: skip
        found, failed = launch.launch_many(
            golden.source(), name="nine", count=9, steps=golden.family.steps, settings=settings
        )
        assert len(found) == 9 and not failed, failed
        rows = incus_client.query("/instances", remote="lab", more="recursion=1")
        places = {row["name"]: row["location"] for row in rows}
        # Of two that are made at the same time, both may be on the member that had fewest.
        assert set(places.values()) == {member.name for member in lab.members}
        code, out, err = run("probe", "nine-*", "--json", *CHECKS)
        assert code == 0, err
        assert {each["machine"] for each in json.loads(out)} == set(found)

        last = lab.members[-1]
        gone = {name for name in found if places[name] == last.name}
        last.lose_power()
        expected = {name: "unreachable" if name in gone else "running" for name in found}

        def seen() -> None:
            assert states() == expected

        eventually(seen)
        answer([machine for name, machine in found.items() if name not in gone])

        last.start()
        expected = dict.fromkeys(found, "running")
        eventually(seen)
        eventually(answer, list(found.values()))
        assert run("delete", "--yes", "nine-*")[0] == 0
