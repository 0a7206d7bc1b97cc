"""Bake a golden image: it is sealed and has a record; it is not baked again; failures leave no files."""

from __future__ import annotations

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import tenacity
from tests import packers
from tests.e2e.conftest import OLD_VERSION, SPEC

from notebake import process, scratch
from notebake.bake import bake, inputs
from notebake.bases import base, releases
from notebake.errors import CommandFailed
from notebake.files import sha256
from notebake.machines.rootfs import root_of
from notebake.plan import plan, spec
from notebake.plan.plan import Plan
from notebake.progress import Steps
from notebake.provision import files
from notebake.provision.files import Payload
from notebake.record import record


@pytest.fixture(scope="module")
def tree(baked: bake.Baked, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The root file system of the image, which has not been booted since the bake."""
    folder = tmp_path_factory.mktemp("image")
    with root_of(baked.image, folder) as root:
        yield root
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
        "etc/cloud/cloud-init.disabled", "etc/hostname", "etc/resolv.conf.*", "root/.config",
        "var/cache/apt/archives/*.deb", "opt/notebake/cache", "opt/notebake/uv*", "tmp/*", "tmp/.*",
        "var/tmp/*", "etc/systemd/network/*", "home/*/.local/share/jupyter/runtime/*",
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
    for text in ("- name: notebake-build", "notebake-build : PWD=", "Cloud-init v. [1-9][^ ]* running"):
        found = process.run(["grep", "-a", "-c", "-e", text, raw], timeout=600, check=False)
        assert found.stdout.split() == [b"0"], text
    raw.unlink()


def test_a_newer_packer_with_an_external_plugin_sets_up_the_same_machine_for_a_script(
    baked: bake.Baked, the_plan: Plan, old_root: Path, newer_packer: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A script of the spec may need a running system: then the machine runs set-up, not the host."""
    (tmp_path / "own.sh").write_text("[ -d /run/systemd/system ]\n")
    text = f'{SPEC}[[image.run]]\nscript = "own.sh"\n'
    own = plan.make(spec.parse(text, source="spec"), the_plan.target, tmp_path, now=datetime.now(UTC))
    monkeypatch.setattr(base, "root", lambda *_, **__: old_root)
    watching = Watching()
    now = datetime.now(UTC)
    made = bake.bake(
        own, output=tmp_path / "baked", accel="auto", plugins=newer_packer, steps=watching, now=now
    )
    assert watching.listening == LOOPBACK
    assert made.record.tools["packer"] == packers.PACKER
    # apt's timers, which are masked until the machine boots again, and those of systemd's generators.
    ours, theirs = (image.record.software.model_copy(update={"units": {}}) for image in (baked, made))
    assert theirs == ours
    differing = made.record.software.units.items() ^ baked.record.software.units.items()
    assert {name for name, _ in differing} <= {
        "apt-daily.timer", "apt-daily-upgrade.timer", "cloud-init.target", "systemd-remount-fs.service"
    }  # fmt: skip


class Watching(Steps):
    """Keeps the addresses on which Packer and its machine listen, when the machine can be logged in to."""

    listening: set[str]

    def begin(self, title: str) -> None:
        super().begin(title)
        if title == "install the notebook":
            self.listening = listening(os.getpid())


def listening(parent: int) -> set[str]:
    """Return the addresses, as the kernel writes them, on which Packer and QEMU below `parent` listen."""
    parents, names = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended just now
            head, _, rest = path.read_text().rpartition(") ")
            pid, _, names[int(path.parent.name)] = head.partition(" (")
            parents[int(pid)] = int(rest.split()[1])
    below = {parent}
    while more := {pid for pid, of in parents.items() if of in below} - below:
        below |= more
    sockets = set()
    for pid in below:
        if names.get(pid, "").startswith(("packer", "qemu-system")):
            with suppress(OSError):
                sockets |= {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}
    tables = (Path(f"/proc/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6"))
    rows = [line.split() for table in tables for line in table]
    return {row[1].split(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets}


LOOPBACK = {"0100007F"}


def test_a_failed_bake_names_its_step_log_and_console_and_leaves_no_image(
    the_plan: Plan, steps: Steps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host does not start the firewall. The machine does, and its failure ends the bake."""
    real = files.build(the_plan)
    broken = tuple(
        replace(file, data=b"no rule\n") if file.path == "firewall.nft" else file for file in real.files
    )
    monkeypatch.setattr(files, "build", lambda plan: Payload(files=broken))
    with pytest.raises(CommandFailed, match="failed at: install the notebook") as caught:
        bake.bake(the_plan, output=tmp_path, accel="auto", steps=steps, now=datetime.now(UTC))
    assert "failed in the machine that is baked: nftables.service" in caught.value.message
    console = tmp_path / "debian-13.console.log"
    assert str(console) in str(caught.value.hint)
    printed = console.read_text("utf-8", "replace")
    assert "nftables.service" in printed
    tail = caught.value.message.split("--- the machine's console ---\n")[1]
    assert tail.splitlines()[-1] in printed
    assert str(tmp_path / "debian-13.log") in str(caught.value.hint)
    assert {path.name for path in tmp_path.iterdir()} == {"debian-13.log", "debian-13.console.log"}


QEMU = "qemu-system-x86_64"
until = tenacity.Retrying(
    wait=tenacity.wait_fixed(0.5), stop=tenacity.stop_after_delay(300),
    retry=tenacity.retry_if_result(lambda reached: not reached),
)  # fmt: skip


def test_a_killed_bake_ends_its_machine_and_ctrl_c_in_the_next_one_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "notebake.toml").write_text(SPEC)
    output = tmp_path / "baked"

    def running(*programs: str) -> list[int]:
        """Return the processes of these programs that use this test's folder."""
        pids = []
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it ended just now
                words = (path / "cmdline").read_text()
                if Path(words.split("\0")[0]).name in programs and str(tmp_path) in words:
                    pids.append(int(path.name))
        return pids

    def ends() -> bool:
        return not running("packer", QEMU)

    def interrupted(how: signal.Signals) -> tuple[subprocess.Popen[str], str]:
        """Bake, send the signal as soon as the machine runs, and return the ended bake and its errors."""
        code = "from notebake.cli.main import main; main()"
        child = subprocess.Popen(
            [sys.executable, "-c", code, "bake", "debian-13", "--force"], cwd=tmp_path,
            stderr=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip
        try:
            until(lambda: bool(running(QEMU)))
            child.send_signal(how)
            _, errors = child.communicate(timeout=90)
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.communicate()
        return child, errors

    def temporary(child: subprocess.Popen[str]) -> list[Path]:
        return [path for folder in (output, scratch.short()) for path in folder.glob(f".*.{child.pid}-*")]

    killed, _ = interrupted(signal.SIGKILL)
    assert killed.returncode == -signal.SIGKILL
    until(ends)
    assert temporary(killed), "nothing for the next bake to remove"

    cancelled, errors = interrupted(signal.SIGINT)
    assert cancelled.returncode == 130 and "Traceback" not in errors, errors
    assert ends()
    assert temporary(killed) == temporary(cancelled) == []
    # The console is kept if the machine printed something before.
    left = {path.name for path in output.iterdir()}
    assert left - {"debian-13.console.log"} == {"debian-13.log"}
