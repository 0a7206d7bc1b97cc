"""Faults: power cuts, a mirror that is down, no network, a full disk, an old certificate, a killed server.

After each fault the machine gets ready, no partly written files are left, and the console names the fault.
"""

from __future__ import annotations

import contextlib
import gzip
import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import tenacity
from tests.e2e import families, shapes
from tests.e2e.families import Family, Sealed, launch_one, root_shell, stopped_afterwards

from notebake.errors import CommandFailed
from notebake.machines import console as consoles
from notebake.machines import incus as engine
from notebake.machines import incus_create, lifecycle, wait
from notebake.machines import machine as record
from notebake.machines.machine import Machine
from notebake.probe.report import Report
from notebake.render import nocloud

# dpkg is in the middle of an upgrade: a newer netbase waits here, in Ubuntu's shape on a machine named `cut`.
HELD = "configuring netbase"
# Console output at which the machine is killed: from the first log-in prompt to the certificate.
MOMENTS = (
    "login:", "setup programs", "setup firewall", "setup user", "setup environment",
    "setup profile", "setup services", "setup trust", "certificate SHA256",
)  # fmt: skip
# The families in turn: each moment once.
CUTS = [*zip(MOMENTS, itertools.cycle(shapes.NAMES), strict=False), (HELD, "ubuntu-shape")]


class CutError(Exception):
    """The power is cut."""


@pytest.mark.parametrize(("moment", "family"), CUTS, indirect=["family"])
def test_the_next_boot_finishes_a_first_boot_that_lost_power(
    moment: str, family: Family, look: Callable[..., Report]
) -> None:
    name = "cut"

    class Cutting(wait.Watch):
        def on_console(self, text: str) -> None:
            if moment in text:
                self.up = True  # the machine is kept
                raise CutError

    more = "[updates]\nat_first_boot = true\n" if moment == HELD else ""
    with pytest.raises(CutError):
        launch_one(family.by_user_data(family.plan(more=more)), family.steps, name=name, watch=Cutting)
    machine = record.load(name)
    with stopped_afterwards(machine):
        families.cut_power(machine)
        if moment == "setup services":  # what a power loss leaves before DONE is written: units are enabled
            family.incus.remove(machine.name, "/opt/notebake/guest/complete")
            # And of host keys, which cloud-init makes once, if they were just made.
            family.incus.push(machine.name, "/etc/ssh/ssh_host_ed25519_key", "")
            machine.ssh.known_hosts.unlink(missing_ok=True)
        machine = lifecycle.start(machine.name, steps=family.steps, limit=families.LIMIT)
        token = lifecycle.token(machine)
        checks = ["tls", "fingerprint", "login", "plot", "port_closed"]
        if moment == "setup environment":  # the step that takes longest to repeat
            checks.append("cloud_init")
        report = look(machine, *checks, password=None, token=token)
        assert report.passed, report.to_json()
        # The certificate is made and the server starts when set-up is complete, once.
        log = families.console_log(machine)
        assert log.count("notebake: ready") == 1
        served = min(log.index("certificate SHA256"), log.index("notebake: ready"))
        assert log.rfind("notebake: setup") < served
        assert not root_shell(machine, "find /opt/notebake /var/lib/notebake -name '*.new'")
        if moment == HELD:
            assert (
                root_shell(machine, "dpkg --audit; apt-get --simulate dist-upgrade | grep ^Inst || true")
                == ""
            )
            assert "+shape1" in root_shell(machine, "dpkg-query --show netbase")


@pytest.mark.parametrize("family", ["ubuntu-shape"], indirect=True)
def test_set_up_continues_when_a_mirror_is_up_again(family: Family) -> None:
    class Outage(wait.Watch):
        began = False

        def on_console(self, text: str) -> None:
            super().on_console(text)
            if not self.began and "setup user" in text:
                self.began = True
                family.package_server.down()
                threading.Timer(60, family.package_server.up).start()

    machine = launch_one(family.by_user_data(family.plan()), family.steps, watch=Outage)
    with stopped_afterwards(machine):
        journal = root_shell(machine, "journalctl --unit notebake-setup --output cat --no-pager")
        assert "setup failed at environment" in journal
        assert root_shell(machine, "systemctl is-active notebake-notebook") == "active\n"


def test_set_up_waits_for_the_package_managers_lock(ubuntu: Family) -> None:
    hold = (
        "import fcntl, time; lock = open('/var/lib/dpkg/lock-frontend', 'a');"
        " fcntl.lockf(lock, fcntl.LOCK_EX);"
        " print('locked', flush=True); time.sleep(20); print('released', flush=True)"
    )
    unit = (
        "[Unit]\nDefaultDependencies=no\nBefore=cloud-init-local.service\n"
        f'[Service]\nType=exec\nExecStart=/usr/bin/python3 -c "{hold}"\n'
    )
    with added_unit(ubuntu, "holder.service", unit, "sysinit.target"):
        machine = launch_one(ubuntu.by_user_data(ubuntu.plan()), ubuntu.steps)
    with stopped_afterwards(machine):
        units = "--unit holder --unit notebake-setup"
        journal = root_shell(machine, f"journalctl {units} --output cat --no-pager")
        assert "released" in journal
        assert journal.index("released") < journal.index("setup programs")
        assert "failed" not in journal


@pytest.mark.parametrize("family", ["opensuse-shape"], indirect=True)
def test_set_up_reports_a_full_disk_and_continues_when_there_is_space(family: Family) -> None:
    mount = (
        "[Unit]\nDefaultDependencies=no\nBefore=local-fs.target\n"
        "[Mount]\nWhat=tmpfs\nWhere=/opt/notebake\nType=tmpfs\nOptions=size=60M\n"
    )

    class Enlarging(wait.Watch):
        enlarged = False

        def on_console(self, text: str) -> None:
            super().on_console(text)
            if not self.enlarged and self.failure is not None:
                assert "No space left" in self.failure or "os error 28" in self.failure
                root_shell(self.machine, "mount -o remount,size=2G /opt/notebake")
                self.enlarged = True

    with added_unit(family, "opt-notebake.mount", mount, "local-fs.target"):
        machine = launch_one(family.by_user_data(family.plan()), family.steps, watch=Enlarging)
    with stopped_afterwards(machine):
        assert "failed at environment" in families.console_log(machine)


@contextlib.contextmanager
def added_unit(family: Family, name: str, text: str, target: str) -> Iterator[None]:
    """Add a unit that `target` wants to machines that are launched in the block, before they boot."""
    boot = engine.boot

    def boot_with_unit(machine: Machine) -> Machine:
        family.incus.push(machine.name, f"/etc/systemd/system/{name}", text)
        drop_in = f"[Unit]\nWants={name}\n"
        family.incus.push(machine.name, f"/etc/systemd/system/{target}.d/{name}.conf", drop_in)
        return boot(machine)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "boot", boot_with_unit)
        yield


@pytest.mark.parametrize("family", ["opensuse-shape"], indirect=True)
def test_a_golden_image_starts_its_notebook_without_any_network(golden: Sealed) -> None:
    class ReadyOnConsole(wait.Watch):
        def run(self) -> Machine:
            self.poll("the console does not say so", self._ready)
            return self.machine

        def _ready(self) -> None:
            if "notebake: ready" not in consoles.read(self.machine.console):
                raise wait.NotYet("not ready")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(incus_create, "_ALONE", "{version: 2, ethernets: {}}")
        machine = launch_one(golden.source(), golden.family.steps, offline=True, watch=ReadyOnConsole)
    with stopped_afterwards(machine):
        assert consoles.fingerprint(families.console_log(machine))


EXPIRE = """
import datetime, sys
from pathlib import Path
sys.path.insert(0, "/opt/notebake/guest")
import certificate
key, chain = certificate.make(["old"], datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=500))
certificate.store(Path("/var/lib/notebake/tls"), key, chain)
"""


@tenacity.retry(wait=tenacity.wait_fixed(0.2), stop=tenacity.stop_after_delay(60), reraise=True)
def another(machine: Machine, *known: str | None) -> str:
    """Return the fingerprint of the served certificate once it is none of `known`."""
    served, _ = wait.answer(machine.address)
    assert served not in known
    return served


@pytest.mark.parametrize("family", ["opensuse-shape"], indirect=True)
def test_an_expired_certificate_is_replaced_and_a_killed_server_is_restarted(
    golden: Sealed, look: Callable[..., Report]
) -> None:
    machine = launch_one(golden.source(), golden.family.steps)
    with stopped_afterwards(machine):
        root_shell(machine, "/opt/notebake/env/bin/python -", stdin=EXPIRE.encode())
        expired = another(machine, machine.fingerprint)
        root_shell(machine, "systemctl start notebake-certificate")
        renewed = another(machine, machine.fingerprint, expired)
        assert renewed == consoles.fingerprint(families.console_log(machine))
        journal = root_shell(machine, "journalctl --unit notebake-certificate --output cat")
        assert "made a new certificate" in journal
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


# Exit codes of cloud-init: 1 failed, 2 done with warnings.


@pytest.mark.parametrize(
    ("more", "status", "says"),
    [
        ("users: [default, {name: extra, lock-passwd: true}]", "passed", "warnings"),
        ("runcmd: [[sh, -c, 'exit 3']]", "failed", "cloud-init failed"),
    ],
    ids=["2", "1"],
)
def test_the_probe_reports_how_cloud_init_ended(
    more: str, status: str, says: str, ubuntu: Family, look: Callable[..., Report]
) -> None:
    source = ubuntu.by_user_data(ubuntu.plan())
    text = gzip.decompress(source.user_data) + f"{more}\n".encode()
    machine = launch_one(replace(source, user_data=text), ubuntu.steps)
    with stopped_afterwards(machine):
        report = look(machine, "cloud_init", password=None, token=lifecycle.token(machine))
        (result,) = report.results
        assert (result.status, says in result.detail) == (status, True), report.to_json()


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ("runcmd: [[sh, -c, 'exit 3']]", "cloud-init failed in the machine that is baked"),
        ("ssh_deletekeys: 1", None),
    ],
    ids=["1", "2"],
)
def test_a_bake_fails_if_cloud_init_failed_but_not_for_warnings(
    more: str, reason: str | None, ubuntu: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_seed = nocloud.build_seed

    def with_more(public_key: str) -> dict[str, bytes]:
        seed = build_seed(public_key)
        return {**seed, "user-data": seed["user-data"] + f"{more}\n".encode()}

    monkeypatch.setattr(nocloud, "build_seed", with_more)
    if reason is None:
        assert families.bake(ubuntu, ubuntu.plan(), tmp_path / "root").tree.is_dir()
    else:
        with pytest.raises(CommandFailed, match=reason):
            families.bake(ubuntu, ubuntu.plan(), tmp_path / "root")
