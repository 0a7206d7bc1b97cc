"""Machines on a real Incus: user-data only, golden images, every command, limits, remotes, faults."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tenacity
from tests.e2e.conftest import PASSWORD, SPEC
from tests.incus import Incus, daemon

from notebake import paths, process
from notebake.bake.bake import Baked
from notebake.errors import SpecError
from notebake.machines import incus_client, lifecycle, reserve, wait

Notebake = Callable[..., str]

pytestmark = pytest.mark.usefixtures("base_root")

until = tenacity.Retrying(wait=tenacity.wait_fixed(0.1), stop=tenacity.stop_after_delay(300), reraise=True)


def command(folder: Path, *args: str, spec: str = SPEC) -> subprocess.Popen[bytes]:
    """Start `notebake ARGS` in its own session, as in a terminal of its own."""
    (folder / "notebake.toml").write_text(spec)
    env = process.environment(
        {
            name: os.environ[name]
            for name in ("XDG_STATE_HOME", "INCUS_DIR", "INCUS_CONF", "PYTHONPATH")
            if name in os.environ
        }
    )
    return subprocess.Popen(
        [Path(sys.executable).with_name("notebake"), *args], cwd=folder, env=env, start_new_session=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        # Ctrl-C is ignored where the tests were started in the background.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip


def ended(running: subprocess.Popen[bytes], *, code: int = 0, stdin: str = "", seconds: float = 600) -> str:
    """Return what a `command` printed that must end with `code`: its errors, or its output if it is 0."""
    out, err = (each.decode() for each in running.communicate(stdin.encode(), timeout=seconds))
    assert running.returncode == code and "Traceback" not in err, (running.returncode, out, err)
    return err if code else out


@pytest.fixture
def notebake(tmp_path: Path) -> Notebake:
    """Return a function that runs `notebake ARGS` and returns what `ended` returns."""
    return lambda *args, **how: ended(command(tmp_path, *args), **how)


def states(notebake: Notebake) -> dict[str, str]:
    """Return what `notebake ps` says of each machine."""
    return {row["name"]: row["state"] for row in json.loads(notebake("ps", "--json"))}


def one_error(output: str, *words: str) -> None:
    """Check that there is one message with a hint, in these words."""
    assert output.count("error:") == 1 and output.count("hint:") == 1, output
    for word in words:
        assert word in output


def nothing_left(incus: Incus) -> None:
    assert incus.instances() == {}
    nothing_left_here()


def nothing_left_here() -> None:
    assert list((paths.state_folder() / "machines").glob("*")) == []


LAUNCH = ("launch", "debian-13", "--platform", "incus")


def test_user_data_only_and_every_command(incus: Incus, notebake: Notebake) -> None:
    # Incus is where machines run if it can be used.
    notebake("launch", "debian-13", "--name", "one", "--memory", "900", "--cpus", "1")
    (machine,) = lifecycle.machines()
    assert machine.address.host == "127.0.0.1"
    assert incus.query("/instances/one/state")["memory"]["total"] == 900 << 20
    assert notebake("ssh", "one", "nproc").strip() == "1"
    report = json.loads(notebake("probe", "one", "--password-stdin", "--json", stdin=PASSWORD))
    assert {check["status"] for check in report["results"]} == {"passed"}, report
    assert len(report["results"]) > 12
    one_error(notebake(*LAUNCH, "--name", "one", code=2), "a machine one exists")

    assert states(notebake) == {"one": "running"}
    notebake("stop", "one")
    assert states(notebake) == {"one": "stopped"} and incus.instances() == {"one": "Stopped"}
    notebake("start", "one")
    assert lifecycle.machines()[0].fingerprint == machine.fingerprint
    notebake("restart", "one")
    assert wait.answer(machine.address) == (machine.fingerprint, 200)
    assert f"certificate SHA256 {machine.fingerprint}" in notebake("logs", "one")

    incus.client("delete", "--force", "one")
    assert states(notebake) == {"one": "missing"}
    one_error(notebake("start", "one", code=4), "its instance was deleted", "notebake delete one")
    # Its name may be another's by now.
    incus.client("init", "--empty", "one")
    assert states(notebake) == {"one": "missing"}
    notebake("delete", "--yes", "one")
    assert incus.instances() == {"one": "Stopped"}
    incus.client("delete", "one")
    nothing_left(incus)


def test_a_class_from_a_golden_image_survives_the_daemon(
    incus: Incus, notebake: Notebake, baked: Baked, tmp_path: Path
) -> None:
    launch = ("launch", "--image", str(baked.image), "--platform", "incus", "--name", "class", "--count", "3")
    incus.client("init", "--empty", "class-2")
    one_error(notebake(*launch, code=2), "an instance class-2 that this notebake did not make", "--name")
    assert incus.instances() == {"class-2": "Stopped"} and lifecycle.machines() == []
    incus.client("delete", "class-2")

    rows = json.loads(notebake(*launch, "--json"))
    assert len({row["fingerprint"] for row in rows}) == 3
    made_of = {incus.query(f"/instances/class-{n}")["config"]["volatile.base_image"] for n in (1, 2, 3)}
    assert len(made_of) == 1, "the image is imported once"
    follower = command(tmp_path, "logs", "-f", "class-1")
    incus.end(signal.SIGKILL)
    machines = lifecycle.machines()
    assert states(notebake) == dict.fromkeys(["class-1", "class-2", "class-3"], "unreachable")
    for machine in machines:
        assert wait.answer(machine.address) == (machine.fingerprint, 200)
    one_error(notebake("stop", "class-1", code=4), "its daemon does not run")
    incus.start()
    assert set(states(notebake).values()) == {"running"}

    notebake("ssh", "class-1", "echo written later | sudo -n tee /dev/console")
    assert follower.stdout is not None
    for line in follower.stdout:
        if b"written later" in line:
            break
    follower.send_signal(signal.SIGINT)
    ended(follower, code=130)
    notebake("delete", "--yes", "class-*")
    nothing_left(incus)


@pytest.fixture
def cluster() -> Iterator[Incus]:
    """A cluster of one member, reached over HTTPS as by another host's client: the remote `lab`."""
    with daemon() as incus:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        incus.client("config", "set", f"core.https_address=127.0.0.1:{port}")
        incus.client("cluster", "enable", "node1")
        token = incus.client("config", "trust", "add", "--quiet", "me").split()[-1]
        incus.client("remote", "add", "lab", token, "--accept-certificate")
        yield incus


def test_another_host_a_project_a_profile_a_member_and_no_outgoing_network(
    cluster: Incus, notebake: Notebake, baked: Baked
) -> None:
    """A golden image without a network."""
    cluster.client("project", "create", "class", "-c", "features.images=false")
    cluster.client("profile", "create", "small", "--project", "class")
    launch = (
        *("launch", "--image", str(baked.image), "--platform", "incus", "--name", "far"),
        *("--remote", "lab", "--project", "class", "--profile", "small"),
    )
    one_error(notebake(*launch, code=2), "profile small: has no network", "incus network create")
    cluster.client(
        "profile", "edit", "small", "--project", "class", stdin=json.dumps({"devices": cluster.devices})
    )
    one_error(notebake(*launch, "--target", "node9", code=2), "--target node9", "members: node1")
    one_error(notebake(*launch, "--vm", code=2), "--vm: lab runs no virtual machines", "/dev/kvm")

    with socket.create_server(("0.0.0.0", 0)) as taken:
        used = taken.getsockname()[1]
        one_error(notebake(*launch, "--port", str(used), code=2), f"port {used}: already used on 127.0.0.1")
        assert cluster.instances() == {}
    notebake(*launch, "--target", "node1", "--offline", "--port", str(used))
    (machine,) = lifecycle.machines()
    assert machine.url == f"https://127.0.0.1:{used}/" and machine.offline
    assert cluster.query("/instances/far?project=class")["location"] == "node1"
    report = json.loads(notebake("probe", "far", "--password-stdin", "--json", stdin=PASSWORD))
    assert {check["status"] for check in report["results"]} <= {"passed", "skipped"}, report

    cluster.end(signal.SIGTERM)
    assert states(notebake) == {"far": "unreachable"}
    one_error(notebake(*launch, code=4), "remote lab: does not answer", "incus info lab:")
    cluster.start()
    notebake("delete", "--yes", "far")
    nothing_left(cluster)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (
            ["--remote", "moon"],
            2,
            ["remote moon: the incus client knows no such remote", "incus remote list"],
        ),
        (["--remote", "files"], 2, ["remote files: has images, but runs no machines"]),
        (["--project", "none"], 2, ["project: there is no such project on local", "incus project list"]),
        (["--profile", "none"], 2, ["profile none: local has no such profile", "incus profile list"]),
        (["--target", "node2"], 2, ["--target node2: local is not a cluster", "leave out --target"]),
        (["--vm", "--offline"], 2, ["--vm and --offline cannot be used together"]),
        (["--remote", "away"], 4, ["remote away: does not answer", "incus info away:"]),
        (["--project", "bare"], 2, ["profile default: has no network", "incus network create"]),
        (["--profile", "diskless"], 2, ["profile diskless: has no root disk", "incus storage create"]),
        (["--profile", "full"], 4, ["no free disk in its storage pool", "incus storage info"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_what_cannot_be_launched_is_one_message_and_leaves_nothing(
    places: Incus, notebake: Notebake, words: list[str], code: int, says: list[str]
) -> None:
    one_error(notebake(*LAUNCH, *words, code=code), *says)
    nothing_left(places)


@pytest.fixture(scope="module")
def places(incus: Incus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Incus]:
    """A daemon with a remote that is away, a project and profiles that lack something, a full pool."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        away = f"https://127.0.0.1:{free.getsockname()[1]}"
    kept = incus.folder / "conf/config.yml"
    remotes = {
        "away": {"addr": away, "protocol": "incus"},
        "files": {"addr": away, "protocol": "simplestreams"},
    }
    kept.write_text(json.dumps({"remotes": remotes}))
    incus.client("remote", "generate-certificate")
    small = tmp_path_factory.mktemp("small")
    process.run(["mount", "-t", "tmpfs", "-o", "size=30M", "tmpfs", small], timeout=60)
    try:
        incus.client("project", "create", "bare")
        incus.client("storage", "create", "small", "dir", f"source={small}")
        for name, devices in (
            ("diskless", {"eth0": incus.devices["eth0"]}),
            ("full", incus.devices | {"root": {"type": "disk", "path": "/", "pool": "small"}}),
        ):
            incus.client("profile", "create", name)
            incus.client("profile", "edit", name, stdin=json.dumps({"devices": devices}))
        yield incus
        for name in ("diskless", "full"):
            incus.client("profile", "delete", name)
        incus.client("storage", "delete", "small")
        incus.client("project", "delete", "bare")
    finally:
        process.run(["umount", small], timeout=60)
        kept.unlink()


def test_a_daemon_that_does_not_run_or_refuses_this_user(
    incus: Incus, notebake: Notebake, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [
        "setpriv",
        "--reuid",
        "nobody",
        "--regid",
        "nogroup",
        "--clear-groups",
        "incus",
        "query",
        "local:/1.0",
    ]
    incus.folder.chmod(0o711)
    refused = process.run(
        words, timeout=60, check=False, env={"INCUS_DIR": str(incus.folder), "HOME": "/nonexistent"}
    )
    found = incus_client.failure(refused.stdout.decode(), "local")
    assert (found.exit_code, found.message) == (3, "Incus: this user may not use its daemon"), refused
    assert "incus-admin" in str(found.hint)

    monkeypatch.setenv("INCUS_DIR", "/nonexistent")
    one_error(notebake(*LAUNCH, code=4), "its daemon does not run", "incusd")
    assert "its daemon does not run" in notebake("doctor", "--for", "launch")
    nothing_left_here()


MOMENTS = {
    "importing": lambda incus: any((incus.folder / "images").iterdir()),
    "created": lambda incus: "cut" in incus.instances(),
    "booting": lambda incus: incus.instances().get("cut") == "Running",
}


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=lambda how: how.name)
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_launch_that_is_cut_leaves_nothing(
    incus: Incus, notebake: Notebake, tmp_path: Path, moment: str, how: signal.Signals
) -> None:
    if moment == "importing":
        for image in incus.query("/images", "recursion=1") or ():
            incus.client("image", "delete", image["fingerprint"])
    launch = command(tmp_path, *LAUNCH, "--name", "cut")
    until(lambda: reached(MOMENTS[moment](incus)))
    launch.send_signal(how)
    if how == signal.SIGINT:
        assert "cut" not in ended(launch, code=130).rpartition("error")[2]
    else:
        ended(launch, code=-how)
        remove_what_was_cut(notebake)
    nothing_left(incus)


def reached(now: bool) -> None:
    assert now


def remove_what_was_cut(notebake: Notebake) -> None:
    """Have the next launch remove what is left, before it does anything else. A whole machine is deleted.

    A busy host may see the moment of the cut only after the machine was made.
    """
    if lifecycle.machines():
        notebake("delete", "--yes", "cut")
    else:
        reserve.discard(reserve.prepare("debian-13", "cut").name)


def test_a_daemon_that_dies_during_a_launch(incus: Incus, notebake: Notebake, tmp_path: Path) -> None:
    launch = command(tmp_path, *LAUNCH, "--name", "cut")
    until(lambda: reached("cut" in incus.instances()))
    incus.end(signal.SIGKILL)
    error = ended(launch, code=4)
    one_error(error)
    if not lifecycle.machines():
        assert "the next launch removes what is left of cut" in error
        with pytest.raises(SpecError, match="name: cut is being made by another launch, or was left"):
            reserve.prepare("debian-13", "cut")
        one_error(notebake(*LAUNCH, "--name", "cut", code=4), "its daemon does not run")
    incus.start()
    remove_what_was_cut(notebake)
    nothing_left(incus)
