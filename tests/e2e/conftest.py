"""Fixtures for tests on real machines. The base image and the golden image are slow to make: both are kept
in notebake's cache, so that a second run does not make them again."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import HASH
from tests.e2e import families, shapes
from tests.e2e.families import Family, Sealed
from tests.e2e.shapes.package_server import PackageServer
from tests.e2e.stages import Stages
from tests.incus import Incus, daemon

from notebake import launch, paths, process
from notebake.bake import bake, chroot
from notebake.bases import base, mmdebstrap
from notebake.errors import RecordError
from notebake.machines import lifecycle
from notebake.machines.machine import Machine
from notebake.machines.machine import load as record_of
from notebake.plan import plan, spec, targets
from notebake.plan.plan import Plan
from notebake.probe import launched
from notebake.probe import run as probe_run
from notebake.probe.context import Context
from notebake.probe.report import Report
from notebake.probe.subject import Subject
from notebake.progress import Steps
from notebake.record import record

QEMU = ("test_bake.py", "test_environment.py", "test_qemu_machines.py", "test_windows_machine.py")
PASSWORD = "correct horse"
# The host's mirrors: on a network that has its own, the machines need them too.
SPEC = f'mirrors = "host"\n[notebook]\npassword = "{HASH}"\n'


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group the tests for `--dist loadgroup`: one process runs all that share what is slow to make.

    QEMU and the golden image are in one group, so that no two processes emulate a processor at the same time.
    """
    for item in items:
        if isinstance(item, pytest.Function) and item.path.is_relative_to(Path(__file__).parent):
            if item.path.name in QEMU or {"baked", "base_disk"}.intersection(item.fixturenames):
                item.add_marker(pytest.mark.xdist_group("qemu"))
            elif "golden" in item.fixturenames:
                item.add_marker(pytest.mark.xdist_group(f"golden-{item.callspec.params['family']}"))
            elif "places" in item.fixturenames:
                item.add_marker(pytest.mark.xdist_group("places"))


@pytest.fixture(scope="session", autouse=True)
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give these tests their own state folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True)
def leaves_no_machine(state: None) -> Iterator[None]:
    """Delete the machines that a test left, so that only this test fails, and none after it."""
    before = [machine.name for machine in lifecycle.machines()]
    yield
    left = [machine.name for machine in lifecycle.machines() if machine.name not in before]
    for name in left:
        lifecycle.delete(name)
    assert not left, "the test left machines"


@pytest.fixture(scope="session")
def incus(state: None) -> Iterator[Incus]:
    """The daemon of Incus that runs containers. Each test process has its own."""
    with daemon() as incus:
        yield incus


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


OLD_VERSION = "6.4~old"


@pytest.fixture(scope="session")
def old_root(base_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root filesystem of the base image, with an older build of netbase than its package sources have."""
    folder = tmp_path_factory.mktemp("old")
    tree, package, log, root = (folder / name for name in ("tree", "netbase", "log", "root.tar"))
    log.touch()
    mmdebstrap.unpack(base_root, tree, log)
    (package / "DEBIAN").mkdir(parents=True)
    (package / "DEBIAN/control").write_text(
        f"Package: netbase\nVersion: {OLD_VERSION}\nArchitecture: all\nMulti-Arch: foreign\n"
        "Maintainer: notebake\nDescription: an older build\n"
    )
    process.run(["dpkg-deb", "--root-owner-group", "--build", package, tree / "old.deb"], timeout=60, log=log)
    install = "dpkg --install --force-downgrade /old.deb; rm /old.deb"
    chroot.run(tree, ["sh", "-euc", install], settings={}, timeout=60, log=log)
    process.run(["tar", "-C", tree, "--numeric-owner", "--xattrs", "-cf", root, "."], timeout=300, log=log)
    shutil.rmtree(tree)
    return root


@pytest.fixture(scope="session")
def baked(the_plan: Plan, steps: Steps, base_root: Path, request: pytest.FixtureRequest) -> bake.Baked:
    """The golden image of `the_plan`, baked from the old root filesystem.

    One that another version of notebake left in the cache is replaced.
    """
    output = paths.cache_folder() / "test-images"
    try:
        record.load(output / f"{the_plan.target.name}.json")
        force = False
    except RecordError:
        force = True
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "root", lambda *_, **__: request.getfixturevalue("old_root"))
        return bake.bake(
            the_plan, output=output, accel="auto", force=force, steps=steps, now=datetime.now(UTC)
        )


@pytest.fixture
def start(
    the_plan: Plan, steps: Steps, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Machine]]:
    """Return a function that starts a machine, `golden` or with user-data only, until the test ends."""
    started: list[str] = []

    def begin(
        platform: str, *, golden: bool = False, from_plan: Plan | None = None, **settings: Any
    ) -> Machine:
        if platform == "incus":
            request.getfixturevalue("incus")
        if golden:
            source = launch.from_image(request.getfixturevalue("baked").image, tmp_path / "none")
        else:
            source = launch.from_plan(from_plan or the_plan, platform, tmp_path, steps)
        settings = {"platform": platform, "limit": 1200.0, **settings}
        machine = launch.launch_machine(source, name=None, steps=steps, settings=settings)
        started.append(machine.name)
        return machine

    yield begin
    for name in started:
        if any(machine.name == name for machine in lifecycle.machines()):
            lifecycle.delete(name)


def subject_of(machine: Machine, password: str = PASSWORD) -> Subject:
    """Return a launched machine as the probe's subject, with the password of these tests."""
    return launched.subject(
        machine.name, password=password, token=None, fingerprint=None, profile=None,
        timeout_scale=1.0 if machine.platform == "incus" else 3.0,
        ask=lambda: pytest.fail("asked for a password"),
    )  # fmt: skip


def context_of(name: str, password: str = PASSWORD) -> Context:
    """Return what the probe's checks work with, for the launched machine `name`."""
    return Context(subject=subject_of(record_of(name), password), now=datetime.now(UTC))


def printed(context: Context, code: str, *, seconds: float = 300) -> str:
    """Return what a cell prints that must not fail."""
    outcome = context.kernel().execute(code, seconds=seconds)
    assert outcome.error is None, outcome
    return outcome.text.strip()


@pytest.fixture
def look(steps: Steps) -> Callable[..., Report]:
    """Return a function that probes a launched machine with its password."""

    def run(machine: Machine, *checks: str, **changes: Any) -> Report:
        subject = replace(subject_of(machine), **changes)
        return probe_run.run(subject, started=datetime.now(UTC), checks=checks or None, steps=steps)

    return run


@pytest.fixture
def inside() -> Callable[..., str]:
    """Return a function that runs a command in a machine as root and returns its output."""

    def run(machine: Machine, *words: str, timeout: float = 120) -> str:
        argv = machine.ssh.argv(" ".join(["sudo", "-n", *words]))
        return process.run(argv, timeout=timeout).stdout.decode()

    return run


@pytest.fixture(scope="session")
def package_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PackageServer]:
    """The only server of a closed network."""
    server = PackageServer(tmp_path_factory.mktemp("package-server"))
    yield server
    server.close()


@pytest.fixture(scope="session")
def family_of(
    package_server: PackageServer, incus: Incus, steps: Steps, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Family]:
    """Return a function that returns the family of a shape by its name."""

    @functools.cache
    def find(name: str) -> Family:
        folder = tmp_path_factory.mktemp(name)
        shape = shapes.make(name, steps, folder / "log")
        package_server.serve(shape)
        return Family(made=shape, package_server=package_server, incus=incus, folder=folder, steps=steps)

    return find


@pytest.fixture(scope="session", params=shapes.NAMES)
def family(request: pytest.FixtureRequest, family_of: Callable[[str], Family]) -> Family:
    """Each family."""
    return family_of(request.param)


@pytest.fixture(scope="session")
def ubuntu(family_of: Callable[[str], Family]) -> Family:
    """Ubuntu's shape, for tests of apt, and of what both families share."""
    return family_of("ubuntu-shape")


@pytest.fixture(scope="session")
def golden(family: Family, tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    """A sealed tree of the family, baked in a closed network, without a password: its clones make tokens."""
    return families.bake(family, family.own_plan(), tmp_path_factory.mktemp("golden") / "root")


@pytest.fixture(scope="session")
def stages() -> Iterator[Stages]:
    """The time of each stage of the boots; written as a page at the end."""
    stages = Stages()
    yield stages
    stages.write()
