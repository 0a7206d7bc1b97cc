"""Faults: power cuts, a mirror that is down, no network, a full disk, an old certificate, a killed server.

Nothing is lost, nothing half-made, and the machine says what happened.
"""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock
from tests.e2e import families
from tests.e2e.families import Family, Sealed, launch_one, root_shell, stopped_in_the_end

from notebake import process
from notebake.errors import CommandFailed
from notebake.machines import console as consoles
from notebake.machines import lifecycle, nspawn, pids, wait
from notebake.machines import machine as record
from notebake.machines import network as networks
from notebake.machines.machine import Machine
from notebake.machines.request import Request
from notebake.probe.report import Report
from notebake.render import nocloud

# What the console says when the machine is killed: from systemd's first units to the certificate.
MOMENTS = (
    "Reached target", "login:", "setup programs", "setup firewall", "setup user", "setup environment",
    "setup profile", "setup services", "setup trust", "certificate SHA256",
)  # fmt: skip


def golden_opensuse(test: Callable[..., None]) -> Callable[..., None]:
    """openSUSE's shape, sealed: one process runs all such tests, so that it is baked once."""
    grouped = pytest.mark.xdist_group("golden")(test)
    return pytest.mark.parametrize("family", ["opensuse-shape"], indirect=True)(grouped)


class CutError(Exception):
    pass


def boot_again(machine: Machine) -> Machine:
    """The same tree under a new process, as after a power loss.

    Its network is made anew: firewalld's table outlives firewalld in a kernel that goes on.
    """
    old = machine.network
    assert old is not None
    # Its seed names its address, and another test's machine may come or go in between.
    with FileLock(nspawn.HOST_LOCK), pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "free", lambda used: (old.host, old.guest))
        networks.remove(old)
        network = networks.create(
            networks.names(machine.folder), cgroups=old.cgroups, public=machine.address.port,
            inside=machine.notebook_port, offline=True,
        )  # fmt: skip
    machine.console.unlink()
    argv = nspawn.arguments(machine.folder / "root", network, machine.name)
    pid = process.spawn(argv, log=machine.console, env={"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"})
    running = pids.identify(pid)
    assert running is not None
    return record.save(replace(machine, process=running, network=network))


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_power_cut_at_first_boot_is_finished_by_the_next(
    moment: str, families_in_turn: Family, look: Callable[..., Report]
) -> None:
    family, name = families_in_turn, "cut"

    class Cutting(wait.Watch):
        def on_console(self, text: str) -> None:
            if moment in text:
                self.up = True  # the machine is kept
                raise CutError

    with pytest.raises(CutError):
        launch_one(family.by_user_data(family.plan()), family.steps, name=name, watch=Cutting)
    machine = record.load(name)
    with stopped_in_the_end(machine):
        assert machine.process.kill()
        token = lifecycle.token(machine)
        machine = wait.Watch(boot_again(machine), steps=family.steps, limit=families.LIMIT).run()
        # A token is shown once, when it is made: on the console of the boot that made it.
        token = lifecycle.token(machine) or token
        checks = ["tls", "fingerprint", "login", "plot", "port_closed"]
        if moment == "setup environment":  # which is what takes longest when it is begun again
            checks.append("cloud_init")
        report = look(machine, *checks, password=None, token=token)
        assert report.passed, report.to_json()
        assert not root_shell(machine, "find /opt/notebake /var/lib/notebake -name '*.new'")


@pytest.mark.parametrize("family", ["ubuntu-shape"], indirect=True)
def test_a_mirror_that_is_down_for_a_minute_is_waited_for(family: Family) -> None:
    class Outage(wait.Watch):
        began = False

        def on_console(self, text: str) -> None:
            super().on_console(text)
            if not self.began and "setup user" in text:
                self.began = True
                family.depot.down()
                threading.Timer(60, family.depot.up).start()

    machine = launch_one(family.by_user_data(family.plan()), family.steps, watch=Outage)
    with stopped_in_the_end(machine):
        said = root_shell(machine, "journalctl --unit notebake-setup --output cat --no-pager")
        assert "setup failed at environment" in said
        assert root_shell(machine, "systemctl is-active notebake-notebook") == "active\n"


def test_a_package_manager_that_is_busy_at_first_boot_is_waited_for(ubuntu: Family) -> None:
    holder = (
        "import fcntl, time; lock = open('/var/lib/dpkg/lock-frontend', 'a'); fcntl.lockf(lock, fcntl.LOCK_EX);"
        " print('held', flush=True); time.sleep(20); print('given back', flush=True)"
    )
    unit = f'[Unit]\nDefaultDependencies=no\nBefore=cloud-init-local.service\n[Service]\nType=exec\nExecStart=/usr/bin/python3 -c "{holder}"\n'
    with planted({"etc/systemd/system/holder.service": unit}, "holder.service", "sysinit.target"):
        machine = launch_one(ubuntu.by_user_data(ubuntu.plan()), ubuntu.steps)
    with stopped_in_the_end(machine):
        said = root_shell(machine, "journalctl --unit holder --unit notebake-setup --output cat --no-pager")
        assert "given back" in said
        assert said.index("given back") < said.index("setup programs")
        assert "failed" not in said


@pytest.mark.parametrize("family", ["opensuse-shape"], indirect=True)
def test_a_full_disk_is_named_and_gone_on_with_when_there_is_room(family: Family) -> None:
    mount = "[Unit]\nDefaultDependencies=no\nBefore=local-fs.target\n[Mount]\nWhat=tmpfs\nWhere=/opt/notebake\nType=tmpfs\nOptions=size=60M\n"

    class Enlarging(wait.Watch):
        enlarged = False

        def on_console(self, text: str) -> None:
            super().on_console(text)
            if not self.enlarged and self.failure is not None:
                assert "No space left" in self.failure or "os error 28" in self.failure
                root_shell(self.machine, "mount -o remount,size=2G /opt/notebake")
                self.enlarged = True

    with planted({"etc/systemd/system/opt-notebake.mount": mount}, "opt-notebake.mount", "local-fs.target"):
        machine = launch_one(family.by_user_data(family.plan()), family.steps, watch=Enlarging)
    with stopped_in_the_end(machine):
        assert "failed at environment" in consoles.read(machine.console)


class planted:
    """Files for the machine's root, and a unit among them that a target wants, while a machine is launched."""

    def __init__(self, files: dict[str, str], unit: str, target: str) -> None:
        self._files, self._unit, self._target = files, unit, target
        self._patch = pytest.MonkeyPatch()

    def __enter__(self) -> None:
        plant = nspawn.plant

        def also(request: Request, root: Path, network: record.Network) -> None:
            plant(request, root, network)
            for path, text in self._files.items():
                (root / path).write_text(text)
            wants = root / f"etc/systemd/system/{self._target}.wants"
            wants.mkdir(exist_ok=True)
            (wants / self._unit).symlink_to(f"../{self._unit}")

        self._patch.setattr(nspawn, "plant", also)

    def __exit__(self, *error: object) -> None:
        self._patch.undo()


@golden_opensuse
def test_a_golden_image_without_any_network_starts_its_notebook(golden: Sealed) -> None:

    class ReadyOnConsole(wait.Watch):
        def run(self) -> Machine:
            self.poll("the console does not say so", self._ready)
            return self.machine

        def _ready(self) -> None:
            if "notebake: ready" not in consoles.read(self.machine.console):
                raise wait.NotYet("not ready")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "config", lambda network, *, offline: b'{"version": 2, "ethernets": {}}\n')
        machine = launch_one(golden.source(), golden.family.steps, alone=True, watch=ReadyOnConsole)
    with stopped_in_the_end(machine):
        assert consoles.fingerprint(consoles.read(machine.console))


EXPIRE = """
import datetime, os, pwd, sys
from pathlib import Path
sys.path.insert(0, "/opt/notebake/guest")
import certificate
key, chain = certificate.make(["old"], datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=500))
user = pwd.getpwnam("azureuser")
certificate.store(Path("/var/lib/notebake/tls"), key, chain, lambda path: os.chown(path, user.pw_uid, user.pw_gid))
"""


@golden_opensuse
def test_an_expired_certificate_is_replaced_and_a_killed_server_always_comes_back(
    golden: Sealed, look: Callable[..., Report]
) -> None:
    machine = launch_one(golden.source(), golden.family.steps)
    with stopped_in_the_end(machine):
        root_shell(machine, "/opt/notebake/env/bin/python -", stdin=EXPIRE.encode())
        expired, _ = wait.answer(machine.address)
        assert expired != machine.fingerprint
        root_shell(machine, "systemctl start notebake-certificate")
        renewed, _ = wait.answer(machine.address)
        assert renewed not in (expired, machine.fingerprint)
        assert renewed == consoles.fingerprint(consoles.read(machine.console))
        assert "made a new certificate" in root_shell(
            machine, "journalctl --unit notebake-certificate --output cat"
        )
        kill = """
        for count in $(seq 20); do
          before=$(systemctl show --property MainPID --value notebake-notebook)
          kill -9 "$before"
          until now=$(systemctl show --property MainPID --value notebake-notebook)
            [ "$now" -ne 0 ] && [ "$now" -ne "$before" ]; do sleep 0.2; done
        done
        systemctl show --property NRestarts --value notebake-notebook
        """
        assert int(root_shell(machine, kill)) >= 20
        machine = wait.Watch(machine, steps=golden.family.steps, limit=families.LIMIT).run()
        token = lifecycle.token(machine)
        assert look(machine, "tls", "login", "plot", password=None, token=token).passed


# cloud-init's own end.


@pytest.mark.parametrize(
    ("more", "status", "says"),
    [
        ("users: [default, {name: extra, lock-passwd: true}]", "passed", "warnings"),
        ("runcmd: [[sh, -c, 'exit 3']]", "failed", "cloud-init failed"),
    ],
    ids=["2", "1"],
)
def test_how_cloud_init_ended_is_told(
    more: str, status: str, says: str, ubuntu: Family, look: Callable[..., Report]
) -> None:
    source = ubuntu.by_user_data(ubuntu.plan())
    text = gzip.decompress(source.user_data) + f"{more}\n".encode()
    machine = launch_one(replace(source, user_data=text), ubuntu.steps)
    with stopped_in_the_end(machine):
        report = look(machine, "cloud_init", password=None, token=lifecycle.token(machine))
        assert [(item.status, says in item.detail) for item in report.results] == [(status, True)], (
            report.to_json()
        )


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ("runcmd: [[sh, -c, 'exit 3']]", "cloud-init failed in the machine that is baked"),
        ("ssh_deletekeys: 1", None),
    ],
    ids=["1", "2"],
)
def test_how_cloud_init_ended_decides_on_a_bake(
    more: str, reason: str | None, ubuntu: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = nocloud.build_seed
    monkeypatch.setattr(
        nocloud,
        "build_seed",
        lambda key: {**(made := seed(key)), "user-data": made["user-data"] + f"{more}\n".encode()},
    )
    if reason is None:
        assert families.bake(ubuntu, ubuntu.plan(), tmp_path / "root").tree.is_dir()
    else:
        with pytest.raises(CommandFailed, match=reason):
            families.bake(ubuntu, ubuntu.plan(), tmp_path / "root")
