"""Bake a golden image: it is sealed and has a record; it is not baked again; failures leave no files."""

from __future__ import annotations

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import tenacity
from tests import packers
from tests.e2e.conftest import OLD_VERSION, SPEC

from notebake import process
from notebake.bake import bake, inputs
from notebake.bases import releases
from notebake.errors import CommandFailed
from notebake.files import RenderedFile, sha256
from notebake.machines.rootfs import root_from_image
from notebake.plan.plan import Plan
from notebake.progress import Steps
from notebake.provision import files
from notebake.provision.files import Payload
from notebake.record import record
from notebake.render import output


@pytest.fixture(scope="module")
def tree(baked: bake.Baked, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The root file system of the image, which has not been booted since the bake."""
    folder = tmp_path_factory.mktemp("image") / "root"
    root_from_image(baked.image, folder)
    yield folder
    shutil.rmtree(folder)


def test_a_bake_without_changes_starts_no_program(
    baked: bake.Baked, the_plan: Plan, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError(f"a program was started: {args}")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    again = bake.bake(the_plan, output=baked.image.parent, accel="auto", steps=steps, now=datetime.now(UTC))
    assert not again.created
    assert again.record == baked.record


def test_the_record_matches_the_image(baked: bake.Baked, the_plan: Plan) -> None:
    known = record.load(baked.image)
    payload = files.build(the_plan)
    assert known.content_id == inputs.identify(
        inputs.inputs(the_plan, payload, releases.read(the_plan, offline=True))
    )
    assert known.image.sha256 == sha256(baked.image)
    assert known.image.bytes == baked.image.stat().st_size
    names = [row.step for row in known.steps]
    expected = ["boot the machine under Packer", "install the notebook", "report the software"]
    expected += ["seal the image", "trim and shut down", "compress"]
    assert names[names.index(expected[0]) :][: len(expected)] == expected
    assert all(row.seconds >= 0 for row in known.steps)
    sizes = known.software.os_sizes | known.software.python_sizes
    assert sizes.keys() == {*known.software.os_packages, *known.software.python_packages}
    assert sizes["numpy"] > 20_000_000


def test_an_older_package_of_the_base_is_upgraded(baked: bake.Baked, tree: Path) -> None:
    inventory = record.load(baked.image).software
    old, newer = inventory.upgraded["netbase"].split(" -> ")
    assert old == OLD_VERSION
    assert inventory.os_packages["netbase"] == newer
    status = (tree / "var/lib/dpkg/status").read_text()
    assert re.search(rf"^Package: netbase\n(?:.+\n)*Version: {re.escape(newer)}$", status, re.M)
    assert (tree / "etc/protocols").exists() and not (tree / "usr/sbin/policy-rc.d").exists()
    # No machine but one whose user-data says so has the script.
    assert not (tree / "opt/notebake/guest/upgrade.sh").exists()


def test_the_image_is_sealed(tree: Path) -> None:
    def any_of(pattern: str) -> list[str]:
        return [str(path.relative_to(tree)) for path in tree.glob(pattern)]

    assert (tree / "etc/machine-id").read_bytes() == b""
    for pattern in (
        "etc/ssh/ssh_host_*", "var/lib/notebake/*", "var/lib/cloud/instance*", "var/lib/systemd/random-seed",
        "home/*/.ssh", "home/*/.*_history", "home/*/.cache", "root/.ssh", "root/.*_history", "root/.cache",
        "home/notebake-build", "etc/sudoers.d/*cloud*", "var/lib/apt/lists/*_Packages",
        "var/cache/apt/archives/*.deb", "opt/notebake/cache", "opt/notebake/uv*", "tmp/*", "tmp/.*",
        "var/tmp/*", "etc/systemd/network/*cloud-init*", "home/*/.local/share/jupyter/runtime/*",
    ):  # fmt: skip
        assert any_of(pattern) == [], pattern
    logs = [path for path in (tree / "var/log").rglob("*") if path.is_file() and path.stat().st_size]
    assert logs == []
    for name in ("passwd", "shadow", "group", "gshadow", "subuid"):
        assert "notebake-build" not in (tree / "etc" / name).read_text(), name
        assert not (tree / "etc" / f"{name}-").exists(), name
    for path in (tree / "opt/notebake").rglob("*"):
        assert path.is_symlink() or not path.stat().st_mode & stat.S_IWOTH, path
    account = next(
        row for row in (tree / "etc/shadow").read_text().splitlines() if row.startswith("azureuser:")
    )
    assert account.split(":")[1] in ("!", "*", "!*")
    # The environment is there, with bytecode.
    env = tree / "opt/notebake/env/lib/python3.13/site-packages"
    assert (env / "notebook/__pycache__").is_dir()
    assert (tree / "opt/notebake/guest/complete").exists()


def test_nothing_of_the_build_is_in_free_space(baked: bake.Baked, tmp_path: Path) -> None:
    raw = tmp_path / "disk.raw"
    process.run(["qemu-img", "convert", "-O", "raw", baked.image, raw], timeout=600)
    # The build's user-data, sudo's log of Packer's commands, cloud-init's own log.
    for text in ("- name: notebake-build", "notebake-build : PWD=", "Cloud-init v. [0-9][^ ]* running"):
        found = process.run(["grep", "-a", "-c", "-e", text, raw], timeout=600, check=False)
        assert found.stdout.split() == [b"0"], text
    raw.unlink()


def test_a_newer_packer_bakes_the_same_image_with_an_external_plugin(
    baked: bake.Baked, the_plan: Plan, newer_packer: Path, tmp_path: Path
) -> None:
    now, watching = datetime.now(UTC), Watching()
    made = bake.bake(
        the_plan, output=tmp_path, accel="auto", plugins=newer_packer, steps=watching, now=now
    ).record
    assert watching.listening == LOOPBACK
    assert made.tools["packer"] == packers.PACKER
    assert made.software.os_packages == baked.record.software.os_packages
    assert made.software.python_packages == baked.record.software.python_packages


@pytest.fixture
def install_script(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Return a function that replaces the install script in the real template."""

    def use(script: bytes) -> None:
        real = output.packer_files

        def fake(plan: Plan, payload: Payload) -> tuple[RenderedFile, ...]:
            return tuple(
                replace(file, data=script) if file.path == "scripts/install.sh" else file
                for file in real(plan, payload)
            )

        monkeypatch.setattr(output, "packer_files", fake)

    return use


class Watching(Steps):
    """Keeps the addresses on which Packer and its machine listen, when the machine can be logged in to."""

    listening: set[str]

    def begin(self, title: str) -> None:
        super().begin(title)
        if title == "install the notebook":
            self.listening = listening(os.getpid())


def listening(parent: int) -> set[str]:
    """Return the addresses, as the kernel writes them, on which the processes below `parent` listen."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended just now
            parents[path.parent] = int(path.read_text().rpartition(")")[2].split()[1])
    below = {parent}
    while more := {int(path.name) for path, of in parents.items() if of in below} - below:
        below |= more
    sockets = set()
    for pid in below - {parent}:
        with suppress(OSError):
            sockets |= {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}
    tables = (Path(f"/proc/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6"))
    rows = [line.split() for table in tables for line in table]
    return {row[1].split(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets}


LOOPBACK = {"0100007F"}


def test_a_failed_bake_names_its_step_log_and_console_and_leaves_no_image(
    install_script: Callable[[bytes], None], the_plan: Plan, tmp_path: Path
) -> None:
    install_script(b"#!/bin/sh\necho this step is broken >&2\nexit 42\n")
    watching = Watching()
    with pytest.raises(CommandFailed, match="failed at: install the notebook") as caught:
        bake.bake(the_plan, output=tmp_path, accel="auto", steps=watching, now=datetime.now(UTC))
    assert watching.listening == LOOPBACK
    assert "this step is broken" in caught.value.message
    # sshd may answer before the login prompt appears: only cloud-init's output is certain.
    assert "cloud-init[" in caught.value.message.split("--- the machine's console ---")[1]
    console = tmp_path / "debian-13.console.log"
    assert str(console) in str(caught.value.hint) and b"cloud-init[" in console.read_bytes()
    assert str(tmp_path / "debian-13.log") in str(caught.value.hint)
    assert {path.name for path in tmp_path.iterdir()} == {"debian-13.log", "debian-13.console.log"}


def test_ctrl_c_stops_qemu_and_leaves_no_image(tmp_path: Path) -> None:
    (tmp_path / "notebake.toml").write_text(SPEC.replace("nbserver", "x"))
    child = subprocess.Popen(
        [sys.executable, "-c", "from notebake.cli.main import main; main()", "bake", "debian-13", "--force"],
        cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip

    def machines() -> list[int]:
        """Return the QEMU processes that use this test's folder."""
        pids = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes()
            except OSError:
                continue
            if b"qemu-system" in words.split(b"\0")[0] and str(tmp_path).encode() in words:
                pids.append(int(path.parent.name))
        return pids

    try:
        tenacity.Retrying(
            wait=tenacity.wait_fixed(0.5), stop=tenacity.stop_after_delay(300),
            retry=tenacity.retry_if_result(lambda pids: not pids),
        )(machines)  # fmt: skip
        child.send_signal(signal.SIGINT)
        _, stderr = child.communicate(timeout=90)
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
    assert child.returncode == 130, stderr
    assert b"Traceback" not in stderr
    assert machines() == []
    # The console is kept if the machine printed something before.
    left = {path.name for path in (tmp_path / "baked").iterdir()}
    assert left - {"debian-13.console.log"} == {"debian-13.log"}
