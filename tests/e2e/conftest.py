"""Real machines. What is slow to make is made once: the plain base and the golden image, both kept in
notebake's cache, so that a second run starts no machine for them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.e2e import families, shapes
from tests.e2e.families import Family, Sealed
from tests.e2e.shapes.depot import Depot
from tests.e2e.stages import Stages

from notebake import launch, paths
from notebake.bake import bake
from notebake.bases import base
from notebake.machines import lifecycle
from notebake.machines.machine import Machine
from notebake.plan import plan, spec, targets
from notebake.plan.plan import Plan
from notebake.probe import launched
from notebake.probe import run as probe_run
from notebake.probe.report import Report
from notebake.progress import Steps

# The host's mirrors: on a network that needs its own, the guests need them too.
PASSWORD = "correct horse"
HASH = "argon2:$argon2id$v=19$m=10240,t=10,p=8$AAAAAAAAAAAAAAAAAAAAAA$K8VR4OlCd/fPOPKJfAyJottpD/KV8Eav8kfOgXtWC2U"
SPEC = f'mirrors = "host"\n[notebook]\npassword = "{HASH}"\n'


@pytest.fixture(scope="session", autouse=True)
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Machines of these tests have a state folder of their own, and none is left running."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield
        left = lifecycle.machines()
        for machine in left:
            lifecycle.stop(machine.name)
        assert not left, "a test left machines running"


@pytest.fixture(scope="session")
def steps() -> Steps:
    return Steps()


@pytest.fixture(scope="session")
def the_plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return plan.make(
        spec.parse(SPEC, source="spec"),
        targets.get("debian-13"),
        tmp_path_factory.mktemp("spec"),
        now=datetime.now(UTC),
    )


@pytest.fixture(scope="session")
def base_root(the_plan: Plan, steps: Steps, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return base.root(the_plan, steps, tmp_path_factory.mktemp("base") / "log")


@pytest.fixture(scope="session")
def base_disk(the_plan: Plan, steps: Steps, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return base.disk(the_plan, steps, tmp_path_factory.mktemp("base") / "log")


@pytest.fixture(scope="session")
def baked(the_plan: Plan, steps: Steps) -> bake.Baked:
    """The golden image of `the_plan`."""
    return bake.bake(
        the_plan,
        output=paths.cache_folder() / "test-images",
        accel="auto",
        steps=steps,
        now=datetime.now(UTC),
    )


@pytest.fixture
def start(
    the_plan: Plan, steps: Steps, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Machine]]:
    """Starts a machine, `golden` or with user-data alone, and stops it after the test."""
    started: list[str] = []

    def begin(platform: str, *, golden: bool = False, made: Plan | None = None, **settings: Any) -> Machine:
        if golden:
            source = launch.from_image(request.getfixturevalue("baked").image, tmp_path / "none")
        else:
            source = launch.from_plan(made or the_plan, platform, tmp_path, steps)
        wanted = {"platform": platform, "limit": 1200.0, **settings}
        machine = launch.launch_machine(source, name=None, steps=steps, settings=wanted)
        started.append(machine.name)
        return machine

    yield begin
    for name in started:
        if any(item.name == name for item in lifecycle.machines()):
            lifecycle.stop(name)


@pytest.fixture
def look(steps: Steps) -> Callable[..., Report]:
    """Probes a launched machine with the right password."""

    def run(machine: Machine, *checks: str, **changes: Any) -> Report:
        subject = replace(
            launched.subject(
                machine.name, password=PASSWORD, token=None, fingerprint=None, profile=None,
                patience=1.0 if machine.platform == "nspawn" else 3.0,
                ask=lambda: pytest.fail("asked for a password"),
            ),
            **changes,
        )  # fmt: skip
        return probe_run.run(subject, started=datetime.now(UTC), checks=checks or None, steps=steps)

    return run


@pytest.fixture
def inside() -> Callable[..., str]:
    """Runs a command in a machine as root and returns what it printed."""
    from notebake import process

    def run(machine: Machine, *words: str, timeout: float = 120) -> str:
        argv = machine.ssh.argv(" ".join(["sudo", "-n", *words]))
        return process.run(argv, timeout=timeout).stdout.decode()

    return run


@pytest.fixture(scope="session")
def depot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Depot]:
    """All that a closed network has."""
    served = Depot(tmp_path_factory.mktemp("depot"))
    yield served
    served.close()


@pytest.fixture(scope="session")
def family_of(
    depot: Depot, steps: Steps, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Family]:
    """A family by its shape's name."""

    @functools.cache
    def find(name: str) -> Family:
        folder = tmp_path_factory.mktemp(name)
        made = shapes.make(name, steps, folder / "log")
        depot.serve(made)
        return Family(made=made, depot=depot, folder=folder, steps=steps)

    return find


@pytest.fixture(scope="session", params=shapes.NAMES)
def family(request: pytest.FixtureRequest, family_of: Callable[[str], Family]) -> Family:
    """Each family in its shape."""
    return family_of(request.param)


@pytest.fixture(scope="session")
def ubuntu(family_of: Callable[[str], Family]) -> Family:
    """Ubuntu's shape, for what is apt's alone or the same in both."""
    return family_of("ubuntu-shape")


@pytest.fixture
def families_in_turn(family_of: Callable[[str], Family], request: pytest.FixtureRequest) -> Family:
    """One family for a test, the other one for the next: by the number of the test's parameter."""
    index = request.node.callspec.indices["moment"]
    return family_of(shapes.NAMES[index % len(shapes.NAMES)])


@pytest.fixture(scope="session")
def golden(family: Family, tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    """The family baked in a closed network; without a password, so that clones make tokens."""
    return families.bake(family, family.plan(), tmp_path_factory.mktemp("golden") / "root")


@pytest.fixture(scope="session")
def stages() -> Iterator[Stages]:
    """How long each stage of a boot took; a page of it is written in the end."""
    kept = Stages()
    yield kept
    kept.write()
