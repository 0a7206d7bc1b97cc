"""The commands on machines: names and patterns, deletion asks, what is handed out, who can read it."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Run

from notebake import launch
from notebake.cli import handout
from notebake.errors import CommandFailed, NotReady
from notebake.machines import incus_client, lifecycle, machine, pids
from notebake.machines.incus_client import Server
from notebake.machines.machine import Machine
from notebake.machines.request import Request
from notebake.process import Completed
from notebake.progress import Steps
from notebake.ssh import Ssh

FINGERPRINT = ":".join(["AB"] * 32)


def a_machine(name: str, *, token: str | None = None, **changes: Any) -> Machine:
    """A saved machine that never ran."""
    request = Request(name=name, target="debian-13", platform="qemu", seed={}, user="u")
    made = request.machine(machine.folder(name), host="127.0.0.1", public=443)
    made = machine.save(dataclasses.replace(made, fingerprint=FINGERPRINT, **changes))
    said = f"notebake: token {token}\n" if token else ""
    made.console.write_text(f"the console of {name}\n{said}")
    return made


@pytest.fixture
def three(run: Run) -> Run:
    """Runs the command where class-1, class-2 and other exist."""
    for name in ("class-1", "class-2", "other"):
        a_machine(name)
    return run


def names() -> list[str]:
    return [each.name for each in lifecycle.machines()]


@pytest.mark.parametrize(
    ("args", "left"),
    [
        (["class-*"], ["other"]),
        (["class-1", "other"], ["class-2"]),
        (["--all"], []),
    ],
)
def test_delete_takes_names_and_patterns(three: Run, args: list[str], left: list[str]) -> None:
    assert three("delete", "--yes", *args)[0] == 0
    assert names() == left


def test_delete_without_a_terminal_needs_yes(three: Run) -> None:
    code, _, err = three("delete", "class-*", stdin="y\n")
    assert code == 2 and "not a terminal" in err and "--yes" in err
    assert names() == ["class-1", "class-2", "other"]


@pytest.mark.parametrize(("answer", "left"), [("y\n", ["other"]), ("\n", ["class-1", "class-2", "other"])])
def test_delete_asks_and_names_what_it_would_delete(
    three: Run, monkeypatch: pytest.MonkeyPatch, answer: str, left: list[str]
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(io, "StringIO", Terminal)
    code, _, err = three("delete", "class-*", stdin=answer)
    assert code == 0 and "class-1, class-2" in err
    assert names() == left


@pytest.mark.parametrize("verb", ["stop", "start", "restart", "delete"])
def test_an_unknown_name_touches_no_other(three: Run, verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in ("stop", "start", "delete"):
        monkeypatch.setattr(lifecycle, step, _never)
    code, _, err = three(verb, "class-1", "nobody-*")
    assert code == 2 and "nobody-*" in err and "class-1" in err
    assert three(verb)[0] == 2


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["probe"], "give the name"),
        (["probe", "--all", "class-1"], "give the name"),
        (["probe", "nobody-*"], "nobody-*"),
        (["probe", "class-*", "--fingerprint", FINGERPRINT], "--fingerprint is for one machine"),
        (["probe", "class-1", "other", "--token-stdin"], "--token-stdin is for one machine"),
        (["ssh", "class-*"], "needs a command"),
        (["ssh", "class-*", "--"], "needs a command"),
        (["ssh", "nobody-*", "true"], "nobody-*"),
    ],
)
def test_probe_and_ssh_refuse_what_fits_no_machine(three: Run, args: list[str], says: str) -> None:
    code, _, err = three(*args)
    assert code == 2 and says in err


def _never(*args: object, **named: object) -> None:
    pytest.fail("touched")


def test_stop_keeps_everything_and_logs_and_ps_take_patterns(three: Run) -> None:
    a_machine("broken-1", failed=True, process=pids.Process(pid=os.getpid(), started=1))
    assert three("stop", "class-*")[0] == 0
    assert names() == ["broken-1", "class-1", "class-2", "other"]
    _, out, _ = three("ps", "class-*", "broken-1", "--json")
    assert [(row["name"], row["state"]) for row in json.loads(out)] == [
        ("broken-1", "failed"), ("class-1", "stopped"), ("class-2", "stopped")
    ]  # fmt: skip
    _, out, _ = three("logs", "class-*")
    assert out.splitlines() == [
        "==> class-1 <==", "the console of class-1", "", "==> class-2 <==", "the console of class-2", ""
    ]  # fmt: skip
    assert three("ps", "nobody-*")[0] == 2


def test_start_goes_on_after_a_failure_and_exits_with_its_code(
    three: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(name: str, *, steps: Steps, limit: float, watch: object) -> Machine:
        if name == "class-1":
            raise NotReady("class-1: no answer", "look at its console")
        return machine.load(name)

    monkeypatch.setattr(lifecycle, "start", start)
    code, out, err = three("start", "--all")
    assert code == 5
    assert out.splitlines() == [
        f"{name} serves notebooks at https://127.0.0.1/" for name in ("class-2", "other")
    ]
    assert "error: class-1: no answer" in err and "hint: look at its console" in err


@pytest.fixture
def launching(run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command where a launch makes a record at once: class-1 has a token, class-2 fails."""
    run("init", "--no-password")

    def start(request: Request, *, steps: Steps, watch: object) -> Machine:
        if request.name == "class-2":
            raise NotReady("class-2: no answer")
        return a_machine(request.name, token="1" * 48 if request.name == "class-1" else None)

    source = launch.Source(
        target="debian-13", source="user-data", user="u", port=9999, public_port=443,
        user_data=b"", identity="i",
    )  # fmt: skip
    monkeypatch.setattr(launch, "from_plan", lambda *args, **more: source)
    monkeypatch.setattr(lifecycle, "launch", start)
    return run


@pytest.mark.parametrize(
    ("usable", "root", "args", "platform", "note"),
    [
        (True, True, ["debian-13"], "incus", ""),
        (True, False, ["debian-13"], "incus", ""),
        (True, False, ["ubuntu-24.04"], "qemu", "only root can make a container of a disk"),
        (False, True, ["debian-13"], "qemu", "its daemon does not run"),
        (False, True, ["debian-13", "--project", "class"], "incus", ""),
        (True, True, ["debian-13", "--platform", "qemu"], "qemu", ""),
        (True, True, ["debian-13", "--accel", "tcg"], "qemu", ""),
    ],
)
def test_a_machine_runs_on_incus_where_it_can_be_used(
    usable: bool, root: bool, args: list[str], platform: str, note: str,
    launching: Run, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def describe(remote: str) -> str:
        if not usable:
            raise CommandFailed("Incus: its daemon does not run", "start it")
        return "6.0"

    server = Server(remote="lab", project="default", host=None, clustered=False, machines=False)
    monkeypatch.setattr(launch, "server", lambda settings: server)
    monkeypatch.setattr(incus_client, "describe", describe)
    monkeypatch.setattr("os.geteuid", lambda: 0 if root else 1000)
    asked: list[str] = []
    monkeypatch.setattr(
        launch, "launch_machine", lambda source, *, settings, **more: asked.append(settings["platform"])
    )
    monkeypatch.setattr(handout, "deliver", lambda machines, **how: None)
    _, _, err = launching("launch", *args)
    assert asked == [platform] and note in err and ("runs on QEMU" in err) == bool(note), err


def test_many_are_handed_out_as_a_table(launching: Run) -> None:
    code, out, err = launching("launch", "debian-13", "--count", "3", "--name", "class")
    assert code == 5 and "error: class-2: no answer" in err
    rows = [line.split() for line in out.splitlines()[1:]]
    assert rows == [
        ["class-1", "https://127.0.0.1/", FINGERPRINT, "1" * 48, "notebake", "ssh", "class-1"],
        ["class-3", "https://127.0.0.1/", FINGERPRINT, "password", "notebake", "ssh", "class-3"],
    ]
    assert "1" * 48 not in err


def test_many_are_handed_out_as_csv_that_only_the_owner_reads(launching: Run, tmp_path: Path) -> None:
    code, out, err = launching("launch", "debian-13", "--count", "3", "--name", "class", "--csv", "class.csv")
    assert code == 5
    assert "1" * 48 not in out + err, "the token is only where it was asked for"
    assert (tmp_path / "class.csv").stat().st_mode & 0o777 == 0o600
    rows = list(csv.DictReader((tmp_path / "class.csv").read_text().splitlines()))
    assert [(row["name"], row["login"], row["ssh"]) for row in rows] == [
        ("class-1", "1" * 48, "notebake ssh class-1"), ("class-3", "password", "notebake ssh class-3")
    ]  # fmt: skip
    assert {(row["url"], row["fingerprint"]) for row in rows} == {("https://127.0.0.1/", FINGERPRINT)}
    launching("delete", "--all", "--yes")
    _, out, _ = launching("launch", "debian-13", "--count", "1", "--name", "class", "--csv", "-")
    assert out.splitlines()[0] == "name,url,fingerprint,login,ssh" and "1" * 48 in out


def test_json_is_a_list_of_many_and_an_object_of_one(launching: Run) -> None:
    _, out, _ = launching("launch", "debian-13", "--count", "1", "--name", "class", "--json")
    assert [(row["name"], row["token"]) for row in json.loads(out)] == [("class-1", "1" * 48)]
    _, out, _ = launching("launch", "debian-13", "--json")
    assert json.loads(out) == {
        "name": "debian-13-1", "url": "https://127.0.0.1/", "fingerprint": FINGERPRINT, "token": None,
        "ssh": "notebake ssh debian-13-1",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--count", "3"], "--name"),
        (["--count", "3", "--name", "class", "--port", "8443"], "--port"),
        (["--count", "0", "--name", "class"], "0"),
        (["--count", "3", "--name", "Class"], "Class"),
        (["--csv", "-", "--json"], "--csv FILE"),
    ],
)
def test_wrong_input_to_many_is_named_and_starts_nothing(launching: Run, args: list[str], says: str) -> None:
    code, _, err = launching("launch", "debian-13", *args)
    assert code == 2 and says in err, err
    assert names() == []


def test_ps_says_what_an_update_waits_for(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """One machine waits, one does not, one does not answer; a stopped one is not asked."""
    this = pids.identify(os.getpid())
    for name in ("up-1", "up-2", "up-3"):
        a_machine(name, process=this)
    a_machine("down")
    keys = {machine.load(name).ssh.key: name for name in ("up-1", "up-2", "up-3")}

    def answer(inside: Ssh, argv: tuple[str, ...], timeout: float) -> Completed:
        assert argv == ("sudo", "-n", "sh", "/opt/notebake/guest/notice.sh")
        name = keys[inside.key]
        if name == "up-3":
            raise CommandFailed("ssh: no answer")
        said = b"notebake: restart needed: reboot this machine\n" if name == "up-1" else b""
        return Completed(argv=argv, returncode=0, stdout=said)

    monkeypatch.setattr(Ssh, "run", answer)
    code, out, _ = run("ps", "--json")
    assert code == 0
    assert {row["name"]: row["restart_needed"] for row in json.loads(out)} == {
        "down": None, "up-1": "reboot this machine", "up-2": None, "up-3": None
    }  # fmt: skip
    _, out, _ = run("ps")
    assert [("restart needed" in row) for row in out.splitlines() if "up-" in row] == [True, False, False]
