"""Many machines at once: all are tried, those that fail are named, Ctrl-C ends the waits."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from notebake import launch
from notebake.errors import NotReady, SpecError
from notebake.machines import lifecycle, machine, many, reserve, wait
from notebake.machines.machine import Machine
from notebake.machines.request import Request
from notebake.progress import Steps

SETTINGS: dict[str, Any] = {"platform": "qemu", "memory_mib": 512}


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@pytest.fixture
def source() -> launch.Source:
    return launch.Source(
        target="debian-13",
        source="user-data",
        admin="u",
        port=9999,
        public_port=443,
        base_url="/lab/",
        user_data=b"#cloud-config\n{}\n",
        identity="i",
    )


def silent() -> Steps:
    return Steps(console=Console(file=io.StringIO()))


def shown(steps: Steps) -> str:
    assert isinstance(steps.console.file, io.StringIO)
    return steps.console.file.getvalue()


def test_at_least_two_at_once_and_no_more_than_processors_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)))
    assert many.at_once(1) == 8
    assert many.at_once(1024 * 1024 * 1024) == 2


def test_a_failure_is_named_in_its_line_and_the_others_are_done() -> None:
    names = [f"class-{number}" for number in range(1, 8)]
    running, most = 0, 0
    lock, several = threading.Lock(), threading.Barrier(3)

    def work(name: str, steps: Steps, watch: type[wait.Watch]) -> str:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        if name in names[:3]:
            several.wait(timeout=30)  # three are at work at the same time
        with lock:
            running -= 1
        if name == "class-4":
            raise NotReady("class-4: no answer\nits console's last lines:\n...", "look")
        if name == "class-5":
            raise OSError(28, "No space left on device", "/disk")
        return name.upper()

    steps = silent()
    done, failed = many.each(names, work, title="launch", limit=3, steps=steps)
    assert list(done) == [name for name in names if name not in ("class-4", "class-5")]
    assert done["class-7"] == "CLASS-7"
    assert {name: error.exit_code for name, error in failed.items()} == {"class-4": 5, "class-5": 4}
    assert most == 3
    lines = shown(steps).splitlines()
    assert len(lines) == 8 and "launch 7 machines" in lines[-1]
    assert [line for line in lines if "class-4 failed: class-4: no answer" in line]
    assert [line for line in lines if "/disk: No space left on device" in line]
    assert "its console" not in shown(steps)


def test_one_machine_alone_shows_its_steps_and_raises_its_error() -> None:
    steps = silent()

    def work(name: str, given: Steps, watch: type[wait.Watch]) -> None:
        assert given is steps and watch is wait.Watch
        raise NotReady("no answer")

    with pytest.raises(NotReady):
        many.each(["one"], work, title="start", limit=2, steps=steps)


def test_an_interrupt_ends_the_waits() -> None:
    begun: list[str] = []
    waiting = threading.Event()
    ended: list[str] = []

    def work(name: str, steps: Steps, watch: type[wait.Watch]) -> None:
        begun.append(name)
        if name == "b":
            waiting.wait(timeout=30)
            raise KeyboardInterrupt  # as if it had come while the main thread waits
        watcher = object.__new__(watch)
        watcher.failure = None
        waiting.set()
        try:
            while True:
                watcher.on_console("")
        except KeyboardInterrupt:
            ended.append(name)
            raise

    with pytest.raises(KeyboardInterrupt):
        many.each(["a", "b", "c"], work, title="launch", limit=2, steps=silent())
    assert "a" in ended and set(ended) == set(begun) - {"b"}


def test_names_are_numbered_and_nothing_is_left_of_those_that_failed(
    source: launch.Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[Request] = []

    def start(request: Request, *, steps: Steps, watch: type[wait.Watch]) -> Machine:
        requests.append(request)
        if request.name == "class-2":
            raise NotReady("no answer")
        made = request.machine(machine.folder(request.name), host="127.0.0.1", public=443)
        return machine.save(made)

    monkeypatch.setattr(lifecycle, "launch", start)
    done, failed = launch.launch_many(source, name="class", count=3, steps=silent(), settings=SETTINGS)
    assert (list(done), list(failed)) == (["class-1", "class-3"], ["class-2"])
    assert [each.name for each in lifecycle.machines()] == ["class-1", "class-3"]
    assert {each.url for each in lifecycle.machines()} == {"https://127.0.0.1/lab/"}
    assert not machine.folder("class-2").exists()
    keys = {request.seed["meta-data"] for request in requests}
    assert len(keys) == 3, "each has its own instance-id, host name and key"


def test_a_used_name_starts_nothing(source: launch.Source, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = reserve.prepare("debian-13", "class-2")
    monkeypatch.setattr(lifecycle, "launch", lambda request, **named: pytest.fail("started"))
    with pytest.raises(SpecError, match="class-2 exists"):
        launch.launch_many(source, name="class", count=3, steps=silent(), settings=SETTINGS)
    assert [path.name for path in taken.folder.parent.iterdir()] == ["class-2"]
