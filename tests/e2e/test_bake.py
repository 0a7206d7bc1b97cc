"""The golden image: baked once, sealed, recorded, not baked again; failures and Ctrl-C leave nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import tenacity
from tests.e2e.conftest import SPEC

from notebake.bake import bake, inputs
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
    """The image's root file system, as it is on the disk that nobody has booted since."""
    folder = tmp_path_factory.mktemp("image") / "root"
    root_from_image(baked.image, folder)
    yield folder
    shutil.rmtree(folder)


def test_nothing_changed_nothing_started(
    baked: bake.Baked, the_plan: Plan, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError(f"a program was started: {args}")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    again = bake.bake(the_plan, output=baked.image.parent, accel="auto", steps=steps, now=datetime.now(UTC))
    assert not again.created
    assert again.record == baked.record


def test_the_record_speaks_of_this_image(baked: bake.Baked, the_plan: Plan) -> None:
    found = record.load(baked.image)
    payload = files.build(the_plan)
    assert found.content_id == inputs.identify(inputs.inputs(the_plan, payload))
    assert found.image.sha256 == sha256(baked.image)
    assert found.image.bytes == baked.image.stat().st_size
    names = [row.step for row in found.steps]
    wanted = ["boot the machine under Packer", "install the notebook", "report the software", "seal the image",
              "trim and shut down", "compress"]  # fmt: skip
    assert names[names.index(wanted[0]) :][: len(wanted)] == wanted
    assert all(row.seconds >= 0 for row in found.steps)


def test_the_image_is_sealed(tree: Path) -> None:
    def any_of(pattern: str) -> list[str]:
        return [str(path.relative_to(tree)) for path in tree.glob(pattern)]

    assert (tree / "etc/machine-id").read_bytes() == b""
    for pattern in (
        "etc/ssh/ssh_host_*", "var/lib/notebake/*", "var/lib/cloud/instance*", "var/lib/systemd/random-seed",
        "home/*/.ssh", "home/*/.*_history", "home/*/.cache", "root/.ssh", "root/.*_history", "root/.cache",
        "home/notebake-build", "etc/sudoers.d/*cloud*", "var/lib/apt/lists/*_Packages", "var/cache/apt/archives/*.deb",
        "opt/notebake/cache", "opt/notebake/uv*", "tmp/*", "tmp/.*", "var/tmp/*", "etc/systemd/network/*cloud-init*",
        "home/*/.local/share/jupyter/runtime/*",
    ):  # fmt: skip
        assert any_of(pattern) == [], pattern
    assert [
        str(path) for path in (tree / "var/log").rglob("*") if path.is_file() and path.stat().st_size
    ] == []
    for name in ("passwd", "shadow", "group", "gshadow", "subuid"):
        assert "notebake-build" not in (tree / "etc" / name).read_text(), name
    account = next(
        row for row in (tree / "etc/shadow").read_text().splitlines() if row.startswith("azureuser:")
    )
    assert account.split(":")[1] in ("!", "*", "!*")
    # What it was made for is there, with its bytecode.
    env = tree / "opt/notebake/env/lib/python3.13/site-packages"
    assert (env / "notebook/__pycache__").is_dir()
    assert (tree / "opt/notebake/guest/complete").exists()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Replaces the provisioning script by another one, in the real template."""

    def replace(script: bytes) -> None:
        real = output.packer_files

        def fake(plan: Plan, payload: Payload) -> tuple[RenderedFile, ...]:
            return tuple(
                RenderedFile(path=item.path, data=script, mode=item.mode)
                if item.path == "scripts/install.sh"
                else item
                for item in real(plan, payload)
            )

        monkeypatch.setattr(output, "packer_files", fake)

    return replace


def test_a_failed_step_is_named_with_log_and_console_and_nothing_half_made_stays(
    small: Callable[[bytes], None], the_plan: Plan, steps: Steps, tmp_path: Path
) -> None:
    small(b"#!/bin/sh\necho this step is broken >&2\nexit 42\n")
    with pytest.raises(CommandFailed, match="failed at: install the notebook") as caught:
        bake.bake(the_plan, output=tmp_path, accel="auto", steps=steps, now=datetime.now(UTC))
    assert "this step is broken" in caught.value.message
    # Sshd answers before the console asks for a login, so what cloud-init says there is the last that is certain.
    assert "cloud-init[" in caught.value.message.split("--- the machine's console ---")[1]
    assert str(tmp_path / "debian-13.log") in str(caught.value.hint)
    assert [path.name for path in tmp_path.iterdir()] == ["debian-13.log"]


def test_ctrl_c_leaves_no_qemu_and_no_image(tmp_path: Path) -> None:
    (tmp_path / "notebake.toml").write_text(SPEC.replace("nbserver", "x"))
    child = subprocess.Popen(
        [sys.executable, "-c", "from notebake.cli.main import main; main()", "bake", "debian-13", "--force"],
        cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip

    def machines() -> list[int]:
        """QEMU processes that work on this test's folder."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes()
            except OSError:
                continue
            if b"qemu-system" in words.split(b"\0")[0] and str(tmp_path).encode() in words:
                found.append(int(path.parent.name))
        return found

    try:
        tenacity.Retrying(
            wait=tenacity.wait_fixed(0.5), stop=tenacity.stop_after_delay(300),
            retry=tenacity.retry_if_result(lambda found: not found),
        )(machines)  # fmt: skip
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=90)
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
    assert child.returncode == 130, said
    assert b"Traceback" not in said
    assert machines() == []
    assert [path.name for path in (tmp_path / "baked").iterdir()] == ["debian-13.log"]
