"""`notebake export` with the real qemu-img and tar: each file is read back, each import script is run.

No cloud's own tool is here: stand-ins note what they are called with. What EC2 is asked for is checked
against botocore's model of its API.
"""

from __future__ import annotations

import json
import os
import random
import re
import select
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name
from tests import catalogs
from tests.conftest import Run

from notebake import files, process
from notebake.catalog import add, signing
from notebake.catalog.catalog import Catalog
from notebake.export import disk
from notebake.record import record

MIB, GIB = 1 << 20, 1 << 30
SIZE = 3 * MIB + 512  # no cloud's unit
NAME = "debian-13-" + "0" * 12


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A qcow2 image as a bake writes it, not bootable, with its record, in a folder with an odd name."""
    folder = tmp_path / "it's, a: $HOME"
    folder.mkdir()
    raw, image = tmp_path / "data.raw", folder / "debian-13.qcow2"
    raw.write_bytes(random.Random(1).randbytes(MIB) + bytes(MIB) + random.Random(2).randbytes(MIB + 512))
    process.run(
        ["qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", "-o", "compression_type=zstd", raw, image],
        timeout=60,
    )
    describe(image)
    return image


def describe(image: Path, **changes: Any) -> None:
    """Write the record of `image`, with changed fields."""
    status = image.stat()
    its = record.Image(
        file=image.name, sha256=files.sha256(image), bytes=status.st_size, mtime_ns=status.st_mtime_ns
    )
    fields = {"made_from": "fixture", "content_id": "0" * 64, "image": its} | changes
    record.write(image, catalogs.small().model_copy(update=fields))


def names(folder: str | Path) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def info(path: Path, form: str) -> Any:
    found = process.run(["qemu-img", "info", "--output=json", "-f", form, path], timeout=60).stdout
    return json.loads(found)


def same(path: Path, form: str, image: Path) -> bool:
    """Return whether both disks have the same data, whatever zeros follow it."""
    compare = ["qemu-img", "compare", "-f", form, "-F", "qcow2", path, image]
    return process.run(compare, timeout=60, check=False).returncode == 0


def test_azure_gets_a_fixed_vhd_of_whole_mib(run: Run, image: Path) -> None:
    image.chmod(0o640)
    code, out, _ = run("export", str(image), "--to", "azure", "-o", "out")
    made = Path("out", f"{NAME}.vhd")
    assert code == 0 and str(made.resolve()) in out
    assert info(made, "vpc")["virtual-size"] == 4 * MIB and same(made, "vpc", image)
    assert made.stat().st_size == 4 * MIB + 512 and made.stat().st_mode & 0o777 == 0o640
    footer = made.read_bytes()[-512:]
    # Cookie, original size, current size, disk type (2: fixed); Virtual Hard Disk Image Format Specification.
    assert footer[:8] == b"conectix"
    assert struct.unpack(">QQ", footer[40:56]) == (4 * MIB, 4 * MIB)
    assert struct.unpack(">I", footer[60:64]) == (2,)


def test_aws_gets_a_compressed_vmdk(run: Run, image: Path) -> None:
    assert run("export", str(image), "--to", "aws")[0] == 0
    made = Path("exported", f"{NAME}.vmdk")
    found = info(made, "vmdk")
    assert found["format-specific"]["data"]["create-type"] == "streamOptimized"
    assert found["virtual-size"] == SIZE and same(made, "vmdk", image)


def test_google_gets_an_archive_in_the_old_gnu_format(run: Run, image: Path, tmp_path: Path) -> None:
    assert run("export", str(image), "--to", "gcp")[0] == 0
    made = Path("exported", f"{NAME}.tar.gz")
    with tarfile.open(made) as archive:
        (member,) = archive.getmembers()
        # "S": a sparse file of the old GNU format.
        assert (member.name, member.type, member.size) == ("disk.raw", tarfile.GNUTYPE_SPARSE, GIB)
        assert (member.uid, member.gid, member.pax_headers) == (0, 0, {})
    process.run(["tar", "-xzf", made, "-C", tmp_path], timeout=60)
    assert (tmp_path / "disk.raw").stat().st_size == GIB
    assert same(tmp_path / "disk.raw", "raw", image)


def test_openstack_gets_a_qcow2_that_every_qemu_reads(run: Run, image: Path) -> None:
    assert info(image, "qcow2")["format-specific"]["data"]["compression-type"] == "zstd"
    assert run("export", str(image), "--to", "openstack")[0] == 0
    made = Path("exported", f"{NAME}.qcow2")
    found = info(made, "qcow2")
    assert found["format-specific"]["data"]["compression-type"] == "zlib" and "backing-filename" not in found
    assert found["virtual-size"] == SIZE and same(made, "qcow2", image)


def test_a_raw_disk_has_no_commands(run: Run, image: Path) -> None:
    code, out, _ = run("export", str(image), "--to", "raw")
    made = Path("exported", f"{NAME}.raw")
    assert (code, out) == (0, f"wrote {made.resolve()}\n")
    assert made.stat().st_size == SIZE and names("exported") == [made.name]
    assert same(made, "raw", image)


def test_an_image_of_the_catalog_is_verified(run: Run, image: Path, tmp_path: Path) -> None:
    signing.make_key(tmp_path / "key")
    signer = signing.private_key(tmp_path / "key")
    entry = add.add(Catalog("catalog"), image, signer=signer, now=datetime.now(UTC), probe=None).entry
    export = ("export", "debian-13@1.0.0", "--to", "raw")
    code, _, err = run(*export)
    assert code == 2 and "trusts nobody" in err
    assert run("catalog", "trust", "key.pub")[0] == 0
    assert run(*export)[0] == 0
    assert names("exported") == ["debian-13-1.0.0.raw"]
    with open(Path("catalog", entry.folder, entry.disk), "ab") as file:
        file.write(b"x")
    code, _, err = run(*export, "--force")
    assert code == 7 and "was changed" in err


# Notes its arguments, answers with its second one, and fails where it is told to.
STAND_IN = """\
#!/bin/sh
printf '%s\\0' "${0##*/}" "$@" >>"$CALLS"
printf '\\n' >>"$CALLS"
[ "$1 $2" != "$FAILS" ] || exit 1
echo "the $2"
"""
TOOLS = {"aws": ["aws"], "azure": ["az", "azcopy"], "gcp": ["gcloud"], "openstack": ["openstack"]}
SETTINGS = {
    "aws": {"BUCKET": "my-bucket"},
    "azure": {"RESOURCE_GROUP": "my group", "LOCATION": "westeurope"},
    "gcp": {"BUCKET": "my-bucket"},
    "openstack": {},
}
STEPS = {
    "aws": ["s3 cp", "ec2 import-snapshot", "ec2 wait", "ec2 describe-import-snapshot-tasks",
            "ec2 register-image", "s3 rm"],
    "azure": ["disk create", "disk grant-access", "copy DISK", "disk revoke-access", "image create",
              "disk delete"],
    "gcp": ["storage cp", "compute images", "storage rm"],
    "openstack": ["image create"],
}  # fmt: skip


class Script:
    """The import script of an export to a folder with an odd name, and stand-ins for the cloud's tools."""

    def __init__(self, cloud: str, run: Run, image: Path, tmp_path: Path) -> None:
        folder = tmp_path / "o\"u't $(touch bad)"
        assert run("export", str(image), "--to", cloud, "-o", str(folder))[0] == 0
        self.cloud = cloud
        (self.path,) = folder.glob("*.sh")
        (self.disk,) = set(folder.iterdir()) - {self.path}
        self._calls, self._tools = tmp_path / "calls", tmp_path / "tools"
        self._tools.mkdir()
        for tool in TOOLS[cloud]:
            (self._tools / tool).write_text(STAND_IN)
            (self._tools / tool).chmod(0o755)

    def run(self, settings: dict[str, str], fails: str = "") -> tuple[int, str, list[list[str]]]:
        """Return the exit code, the output, and the calls of the tools."""
        self._calls.write_bytes(b"")
        env = {"PATH": f"{self._tools}:{os.environ['PATH']}", "CALLS": str(self._calls), "FAILS": fails}
        done = process.run(["sh", self.path], timeout=60, env=env | settings, cwd=self._tools, check=False)
        assert {path.name for path in self._tools.iterdir()} == set(TOOLS[self.cloud])
        calls = [line.split("\0") for line in self._calls.read_text().split("\0\n")[:-1]]
        return done.returncode, done.stdout.decode(), calls

    def steps(self, calls: list[list[str]]) -> list[str]:
        return [" ".join(call[1:3]).replace(str(self.disk), "DISK") for call in calls]


@pytest.fixture
def script(request: pytest.FixtureRequest, run: Run, image: Path, tmp_path: Path) -> Script:
    return Script(request.param, run, image, tmp_path)


every_cloud = pytest.mark.parametrize("script", TOOLS, indirect=True)


@every_cloud
def test_the_commands_import_the_disk(script: Script) -> None:
    code, _, calls = script.run(SETTINGS[script.cloud])
    assert (code, script.steps(calls)) == (0, STEPS[script.cloud])
    arguments = [argument for call in calls for argument in call]
    assert str(script.disk) in arguments
    # It boots by BIOS.
    assert not [argument for argument in arguments if re.search("uefi|secure|^V2$", argument, re.IGNORECASE)]
    # SC2016: the name of the folder is meant as it is.
    process.run(["shellcheck", "--shell=sh", "--exclude=SC2016", script.path], timeout=60)


@every_cloud
def test_the_commands_stop_at_an_error(script: Script) -> None:
    steps = STEPS[script.cloud]
    for number, step in enumerate(steps):
        fails = step.replace("DISK", str(script.disk))
        code, _, calls = script.run(SETTINGS[script.cloud], fails)
        done = list(dict.fromkeys(script.steps(calls)))  # a wait is repeated
        assert code != 0 and done == steps[: number + 1]


@pytest.mark.parametrize("script", ["aws", "azure", "gcp"], indirect=True)
def test_the_commands_name_a_missing_setting(script: Script) -> None:
    settings = SETTINGS[script.cloud]
    for name in settings:
        code, out, calls = script.run({key: text for key, text in settings.items() if key != name})
        assert code != 0 and name in out and calls == []


@pytest.mark.parametrize("script", ["azure"], indirect=True)
def test_azure_is_told_the_size_of_the_file(script: Script) -> None:
    calls = script.run(SETTINGS["azure"])[2]
    create, copy = calls[0], calls[2]
    assert create[create.index("--upload-size-bytes") + 1] == str(script.disk.stat().st_size)
    assert [call[call.index("--hyper-v-generation") + 1] for call in (create, calls[4])] == ["V1", "V1"]
    assert copy == ["azcopy", "copy", str(script.disk), "the grant-access", "--blob-type", "PageBlob"]


@pytest.mark.parametrize("script", ["aws"], indirect=True)
def test_ec2_has_the_options_that_aws_is_given(script: Script) -> None:
    calls = [call[2:] for call in script.run(SETTINGS["aws"])[2] if call[1] == "ec2" and call[2] != "wait"]
    model = botocore.session.get_session().get_service_model("ec2")
    for operation, *arguments in calls:
        members = model.operation_model("".join(operation.title().split("-"))).input_shape.members
        options = {xform_name(name, "-"): shape for name, shape in members.items()}
        for at, argument in enumerate(arguments):
            if not argument.startswith("--") or argument in ("--query", "--output"):
                continue
            shape, value = options[argument[2:]], arguments[at + 1]
            assert (shape.type_name == "boolean") == value.startswith("--"), argument
            assert value in (getattr(shape, "enum", None) or [value]), argument
    register = calls[-1]
    assert register[register.index("--boot-mode") + 1] == "legacy-bios"
    assert "SnapshotId=the describe-import-snapshot-tasks" in register[-1]


@pytest.mark.parametrize("script", ["openstack"], indirect=True)
def test_openstack_is_told_the_smallest_disk(script: Script) -> None:
    (call,) = script.run({})[2]
    assert call[call.index("--min-disk") + 1] == "1" and "hw_firmware_type=bios" in call
    assert call[-3:] == ["--file", str(script.disk), NAME]


def _without_record(image: Path) -> None:
    record.path_for(image).unlink()


def _changed(image: Path) -> None:
    with open(image, "r+b") as file:
        file.write(b"QFI\xfc")


def _overlay(image: Path) -> None:
    secret = image.with_name("secret")
    secret.write_bytes(bytes(MIB))
    process.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", secret, image], timeout=60)
    describe(image)


def _no_qcow2(image: Path) -> None:
    image.write_bytes(bytes(MIB))
    describe(image)


def _windows(image: Path) -> None:
    describe(image, target="windows-2025")


@pytest.mark.parametrize(
    ("change", "code", "problem"),
    [
        (Path.unlink, 2, "no such image"),
        (_without_record, 7, "no record"),
        (_changed, 2, "does not match its record"),
        (_overlay, 2, "needs another image file"),
        (_no_qcow2, 2, "not a qcow2 image"),
        (_windows, 2, "cannot export Windows images"),
    ],
)
def test_a_foreign_image_is_refused(
    run: Run, image: Path, change: Callable[[Path], None], code: int, problem: str
) -> None:
    change(image)
    found, out, err = run("export", str(image), "--to", "azure")
    assert (found, out) == (code, "") and problem in err and "hint: " in err
    assert not Path("exported").exists()


def test_files_are_replaced_only_with_force(run: Run, image: Path) -> None:
    export = ("export", str(image), "--to", "openstack")
    for name in (f"{NAME}.openstack.sh", f"{NAME}.qcow2"):
        Path("exported").mkdir(exist_ok=True)
        Path("exported", name).write_text("mine")
        code, _, err = run(*export)
        assert code == 2 and f"{name}: already exists" in err and "--force" in err
        assert [path.read_text() for path in Path("exported").iterdir()] == ["mine"]
        assert run(*export, "--force")[0] == 0
        assert len(names("exported")) == 2 and same(Path("exported", f"{NAME}.qcow2"), "qcow2", image)
        shutil.rmtree("exported")


def test_the_image_itself_is_not_replaced(run: Run, image: Path) -> None:
    itself = image.rename(image.with_name(f"{NAME}.qcow2"))
    describe(itself)
    code, _, err = run("export", str(itself), "--to", "openstack", "-o", str(itself.parent), "--force")
    assert code == 2 and "this is the image itself" in err


@pytest.mark.parametrize(("name", "code"), [("\udcff", 2), ("file/folder", 4)])
def test_a_folder_that_cannot_be_written(run: Run, image: Path, name: str, code: int) -> None:
    Path("file").touch()
    found, _, err = run("export", str(image), "--to", "azure", "-o", name)
    assert found == code and "hint: " in err


def test_without_qemu_img(run: Run, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    code, _, err = run("export", str(image), "--to", "azure")
    assert code == 3 and "qemu-img: this program is not installed" in err and "notebake doctor" in err


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB, too small for each export."""
    path = tmp_path / "tiny"
    path.mkdir()
    process.run(["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", path], timeout=60)
    yield path
    process.run(["umount", path], timeout=60)


@pytest.mark.parametrize("cloud", disk.FORMATS)
def test_a_full_disk(run: Run, image: Path, tiny: Path, cloud: str) -> None:
    code, _, err = run("export", str(image), "--to", cloud, "-o", str(tiny))
    assert code == 4 and f"{tiny}: cannot be written: No space left on device" in err
    assert list(tiny.iterdir()) == []


# Names its process and then works for ever, as for a large disk.
ENDLESS = """\
#!/bin/sh
[ "$1" = convert ] || exec {qemu_img} "$@"
echo $$ >{started}
exec sleep infinity
"""


def test_ctrl_c_leaves_nothing(image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools, started = tmp_path / "tools", tmp_path / "started"
    tools.mkdir()
    os.mkfifo(started)
    stand_in = tools / "qemu-img"
    stand_in.write_text(ENDLESS.format(qemu_img=process.which("qemu-img"), started=shlex.quote(str(started))))
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    code = "from notebake.cli import main; main.main()"
    command = [sys.executable, "-c", code, "export", str(image), "--to", "azure", "-o", "out"]
    notebake = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE)
    convert = os.pidfd_open(int(started.read_text()))
    notebake.send_signal(signal.SIGINT)
    _, err = notebake.communicate()
    assert notebake.returncode == 130 and err.endswith(b"stopped\n")
    assert list((tmp_path / "out").iterdir()) == []
    assert select.select([convert], [], [], 60)[0]  # it ends too
    os.close(convert)
