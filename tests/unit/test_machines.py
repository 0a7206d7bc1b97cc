"""The parts of a launch that start no program: console, machine records, pids, ports, arguments."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from notebake import owner
from notebake.accelerator import Accelerator
from notebake.address import Address
from notebake.errors import CommandFailed, NotReady, SpecError
from notebake.machines import (
    console,
    incus,
    incus_publish,
    lifecycle,
    machine,
    pids,
    platforms,
    ports,
    qemu,
    reserve,
    rootfs,
    wait,
)
from notebake.machines.incus_client import Server
from notebake.machines.machine import Machine
from notebake.machines.request import Request
from notebake.progress import Steps
from notebake.ssh import Ssh

FIRST = ":".join(["AB"] * 32)
LAST = ":".join(["0c"] * 32)


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def a_machine(name: str = "one", **changes: object) -> Machine:
    folder = machine.folder(name)
    me = pids.identify(os.getpid())
    assert me is not None
    values: dict[str, object] = {
        "name": name,
        "platform": "qemu",
        "target": "debian-13",
        "source": "user-data",
        "sha256": None,
        "process": me,
        "address": Address(host="192.0.2.2", port=443),
        "notebook_port": 9999,
        "canary": Address(host="192.0.2.2", port=8765),
        "canary_inside": 8765,
        "ssh": Ssh(
            host="192.0.2.2", port=22, user="u", key=folder / machine.KEY, known_hosts=folder / "known_hosts"
        ),
        "console": folder / "console.log",
        "fingerprint": FIRST,
        "created": "2026-11-25T03:00:00+00:00",
    }
    return Machine(**{**values, **changes})  # type: ignore[arg-type]


def state_of(one: Machine) -> str:
    return platforms.states([one])[one.name]


def test_the_last_fingerprint_and_token_are_read_despite_escape_codes() -> None:
    text = (
        f"[\x1b[0;32m  OK  \x1b[0m] x\r\nnotebake: certificate SHA256 {FIRST}\r\n"
        f"notebake: token {'1' * 32}\r\n"
        f"[   9.1] notebake: certificate \x1b[1mSHA256 {LAST}\x1b[0m\r\nnotebake: token {'2' * 32}\r\n"
        "notebake: ready\r\n"
    )
    assert console.fingerprint(text) == LAST.upper()
    assert console.token(text) == "2" * 32


@pytest.mark.parametrize("text", ["", "notebake: certificate SHA256 AB:CD", f"certificate SHA256 {FIRST}"])
def test_without_a_fingerprint_the_console_gives_none(text: str) -> None:
    assert console.fingerprint(text) is None
    assert console.token(text) is None


def test_an_incomplete_token_is_not_read() -> None:
    assert console.token(f"notebake: token {'a' * 20}") is None


def test_the_tail_has_the_last_lines_without_empty_ones() -> None:
    assert console.tail("a\r\n\r\nb\n\x1b[0mc\n", 2) == "b\nc"


def test_a_machine_record_is_loaded_unchanged_and_only_its_owner_may_read_it() -> None:
    saved = machine.save(a_machine())
    path = saved.folder / machine.RECORD
    assert machine.load("one") == saved
    assert path.stat().st_mode & 0o777 == 0o600
    assert machine.every() == [saved]
    machine.save(a_machine("two"))
    machine.delete("one")
    machine.delete("one")
    assert [listed.name for listed in machine.every()] == ["two"]


def test_a_broken_machine_record_is_reported_and_others_are_listed() -> None:
    saved = machine.save(a_machine())
    broken = machine.folder("bad") / machine.RECORD
    broken.parent.mkdir()
    broken.write_text("{")
    with pytest.raises(CommandFailed, match=re.escape(str(broken))):
        machine.load("bad")
    assert machine.every() == [saved]


@pytest.mark.parametrize("name", ["", "A", "1a", "../x", "a_b", "a" * 42, "a\n"])
def test_an_invalid_name_is_refused(name: str) -> None:
    with pytest.raises(SpecError, match="name"):
        machine.folder(name)


def test_an_unknown_machine_is_a_user_error() -> None:
    with pytest.raises(SpecError, match="ghost: no such machine"):
        lifecycle.find(["ghost"])


def test_default_names_are_numbered_and_a_used_name_is_refused() -> None:
    first, second = reserve.prepare("Ubuntu-24.04"), reserve.prepare("Ubuntu-24.04")
    assert (first.name, second.name) == ("ubuntu-24-04-1", "ubuntu-24-04-2")
    assert first.folder.stat().st_mode & 0o777 == 0o700
    assert (first.folder / machine.KEY).stat().st_mode & 0o777 == 0o600
    assert first.public_key.startswith("ssh-ed25519 ") and first.public_key != second.public_key
    with pytest.raises(SpecError, match="ubuntu-24-04-2 exists"):
        reserve.prepare("x", second.name)
    reserve.discard(second.name)
    assert reserve.prepare("Ubuntu-24.04").name == second.name


def test_the_folder_of_a_killed_launch_is_removed() -> None:
    prepared = reserve.prepare("a")
    # This pid, but another process.
    pid, started, *here = owner.mark().split("-")
    (prepared.folder / "owner").write_text("-".join((pid, str(int(started) - 1), *here)))
    assert reserve.prepare("a").name == prepared.name


def test_the_folder_of_a_launch_on_another_host_stays() -> None:
    prepared = reserve.prepare("a")
    (prepared.folder / "owner").write_text("1-1-00000000-00000000")
    assert reserve.prepare("a").name != prepared.name


def test_a_launch_that_was_killed_before_it_named_itself_leaves_no_folder() -> None:
    prepared = reserve.prepare("a")
    (prepared.folder / "owner").unlink()
    assert reserve.prepare("a").name == prepared.name


def test_a_reused_pid_is_neither_alive_nor_signalled() -> None:
    me = pids.identify(os.getpid())
    assert me is not None and me.alive()
    other = pids.Process(pid=me.pid, started=me.started + 1)
    assert not other.alive()
    other.signal(9)
    assert other.kill(0)


def test_chosen_ports_differ_and_a_used_port_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        used = holder.getsockname()[1]
        chosen = ports.choose(requested=None, endpoint=used, more=2, kept={})
        assert len({used, *chosen}) == 4
        with pytest.raises(SpecError, match=f"port {used}: already used"):
            ports.choose(requested=used, endpoint=443, more=0, kept={})
    assert ports.choose(requested=used, endpoint=443, more=0, kept={}) == (used,)


def test_the_port_of_a_stopped_machine_is_not_given_away() -> None:
    (free,) = ports.choose(requested=None, endpoint=0, more=0, kept={})
    assert free not in ports.choose(requested=None, endpoint=free, more=2, kept={free: "one"})
    with pytest.raises(SpecError, match=f"port {free}: belongs to the machine one") as caught:
        ports.choose(requested=free, endpoint=443, more=0, kept={free: "one"})
    assert "notebake delete one" in str(caught.value.hint)


def test_a_process_from_before_a_reboot_of_the_host_is_not_alive() -> None:
    me = pids.identify(os.getpid())
    assert me is not None and me.alive()
    assert not dataclasses.replace(me, boot="another boot").alive()
    assert dataclasses.replace(me, boot=None).alive(), "recorded by an older release"


def test_the_state_is_running_stopped_or_failed() -> None:
    assert state_of(a_machine()) == "running"
    assert state_of(a_machine(process=None)) == "stopped"
    dead = pids.Process(pid=os.getpid(), started=1)
    assert state_of(a_machine(process=dead)) == "stopped"
    assert state_of(a_machine(failed=True)) == state_of(a_machine(process=dead, failed=True)) == "failed"


def test_machines_are_found_by_names_and_patterns_and_sorted_by_their_numbers() -> None:
    for name in ("class-10", "class-2", "other"):
        machine.save(a_machine(name))
    assert [each.name for each in lifecycle.machines()] == ["class-2", "class-10", "other"]
    found = lifecycle.find(["other", "class-*", "class-2"])
    assert [each.name for each in found] == ["class-2", "class-10", "other"]
    for pattern in ("nobody-*", "nobody"):
        with pytest.raises(SpecError, match=re.escape(pattern)):
            lifecycle.find(["other", pattern])


def test_the_token_outlives_the_console_that_showed_it() -> None:
    saved = machine.save(a_machine("one", platform="qemu", process=None))
    saved.console.write_text(f"notebake: certificate SHA256 {FIRST}\nnotebake: token {'1' * 32}\n")

    class Seen(wait.Watch):
        def run(self) -> Machine:
            assert not self.machine.console.exists(), "an old console must not be read for a fingerprint"
            assert self.machine.alive() and not self.machine.failed
            return self.machine

    class Platform:
        @staticmethod
        def boot(booted: Machine) -> Machine:
            return dataclasses.replace(booted, process=pids.identify(os.getpid()))

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(platforms.BY_NAME, "qemu", Platform)
        again = lifecycle.start("one", steps=Steps(), watch=Seen)
    assert lifecycle.token(again) == "1" * 32
    assert (saved.folder / "token").stat().st_mode & 0o777 == 0o600
    assert "1" * 32 in (saved.folder / "console.previous.log").read_text()


def test_a_start_that_fails_keeps_the_machine_and_marks_it_unless_it_was_deleted() -> None:
    machine.save(a_machine("one"))

    class Failing(wait.Watch):
        def run(self) -> Machine:
            raise self.not_ready("no answer")

    class Deleted(wait.Watch):
        def run(self) -> Machine:
            machine.delete("one")
            raise self.not_ready("no answer")

    with pytest.raises(NotReady):
        lifecycle.start("one", steps=Steps(), watch=Failing)
    assert state_of(machine.load("one")) == "failed"
    with pytest.raises(NotReady):
        lifecycle.start("one", steps=Steps(), watch=Deleted)
    assert lifecycle.machines() == [] and not machine.folder("one").exists()


def test_qemu_listens_on_loopback_only_and_commas_in_paths_are_escaped(tmp_path: Path) -> None:
    request = Request(
        name="one", target="debian-13", platform="qemu", seed={}, user="u", offline=True, memory_mib=1024
    )
    asked = request.machine(tmp_path / "a,b", host=ports.LOOPBACK, public=1443, ssh=1022, canary=1765)
    argv = qemu.arguments(asked, Accelerator(name="tcg", machine="q35", cpu="max"))
    text = " ".join(argv)
    assert "a,,b/disk.qcow2" in text and "a,b" not in text.replace("a,,b", "")
    assert argv[argv.index("-netdev") + 1] == (
        "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:1443-:9999,"
        "hostfwd=tcp:127.0.0.1:1022-:22,hostfwd=tcp:127.0.0.1:1765-:8765"
    )
    assert argv[argv.index("-m") + 1] == "1024"


@pytest.mark.parametrize("fixed", [False, True])
def test_a_port_that_others_took_before_the_instance_boots(
    fixed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[tuple[int, int]] = []

    def boot(booted: Machine) -> Machine:
        tried.append((booted.address.port, booted.ssh.port))
        if fixed or len(tried) == 1:
            raise CommandFailed("Incus: Failed to listen on 127.0.0.1:443: bind: address already in use")
        return booted

    monkeypatch.setattr(incus_publish, "_proxies", lambda machine, local: None)
    monkeypatch.setattr(incus, "boot", boot)
    server = Server(remote="local", project="default", host=None, clustered=False, machines=False)
    instance = machine.Instance(remote="local", project="default", key="k")
    planned = a_machine(platform="incus", instance=instance)
    if fixed:
        with pytest.raises(SpecError, match=r"port 443: already used on 127\.0\.0\.1"):
            incus_publish.publish(planned, server, True, fixed=True)
        assert [public for public, _ in tried] == [443, 443] and tried[0] != tried[1]
    else:
        again = incus_publish.publish(planned, server, True, fixed=False)
        assert again.address.port != 443 and again.ssh.port != planned.ssh.port


def test_machines_on_a_cluster_member_that_does_not_answer_are_unreachable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [
        {"name": "up", "status": "Running", "config": {"user.notebake": "k"}},
        {"name": "lost", "status": "Error", "config": None},
        {"name": "other", "status": "Running", "config": {}},
    ]
    monkeypatch.setattr("notebake.machines.incus_client.query", lambda path, **how: rows)
    instance = machine.Instance(remote="lab", project="default", key="k")
    known = [a_machine(name, platform="incus", instance=instance) for name in ("up", "lost", "other", "gone")]
    assert platforms.states(known) == {
        "up": "running", "lost": "unreachable", "other": "missing", "gone": "missing"
    }  # fmt: skip


def test_instances_are_deleted_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2)
    monkeypatch.setattr(platforms, "delete", lambda machine: both.wait(timeout=30))
    instance = machine.Instance(remote="local", project="default", key="k")
    for name in ("a", "b"):
        reserve.prepare("debian-13", name)
        machine.save(a_machine(name, platform="incus", process=None, instance=instance))
    with ThreadPoolExecutor() as pool:
        list(pool.map(lifecycle.delete, ("a", "b")))
    assert lifecycle.machines() == []


def test_the_root_partition_is_the_largest_linux_one() -> None:
    linux = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
    parts = [
        {"start": 2048, "size": 8, "type": "21686148-6449-6E6F-744E-656564454649"},
        {"start": 4096, "size": 100, "type": linux},
        {"start": 9000, "size": 50, "type": linux},
    ]
    table = json.dumps({"partitiontable": {"sectorsize": 512, "partitions": parts}}).encode()
    assert rootfs.partition(table, Path("x")) == (4096 * 512, 100 * 512)
    empty = json.dumps({"partitiontable": {"partitions": parts[:1]}}).encode()
    with pytest.raises(CommandFailed, match=r"x\.qcow2: has no Linux partition"):
        rootfs.partition(empty, Path("x.qcow2"))


def test_the_url_omits_port_443() -> None:
    assert a_machine().url == "https://192.0.2.2/"
    assert a_machine(address=Address(host="127.0.0.1", port=8443)).url == "https://127.0.0.1:8443/"


def test_special_mode_bits_are_read_from_debugfs() -> None:
    listing = (
        'debugfs: ls -p "/"\n/2/040755/0/0/.//\n/9/041777/0/0/tmp//\n'
        'debugfs: ls -p "/usr/bin"\n/5/104755/0/0/su/72000/\n/6/100755/0/0/ls/1/\n\n'
    )
    assert list(rootfs.special(listing)) == [("tmp", 0o1777), ("usr/bin/su", 0o4755)]
