"""Which Packer is asked for what. All but Debian's are stand-ins: they answer as those releases do."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.conftest import Run
from tests.rendering import packer_files

from notebake.bake import packer, packer_plugins
from notebake.errors import CommandFailed, MissingTool, SpecError
from notebake.files import write_folder
from notebake.plan.plan import Plan

# It writes down what it was called with; `init` fails where the network does, and reads what it is given.
_STAND_IN = """#!/bin/sh
echo "$PACKER_PLUGIN_PATH|$*" >> {log}
case "$1" in
  version) echo "Packer v{version}" ;;
  init) cat "$2"/*.pkr.hcl > {log}.init; [ -z "{offline}" ] || {{ echo "could not get releases"; exit 1; }} ;;
  plugins)
    folder=/home/me/.config/packer/plugins/github.com/hashicorp/qemu
    echo "$folder/packer-plugin-qemu_v{plugin}_x5.0_linux_amd64" ;;
esac
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Callable[[], list[str]]]:
    """Return a function that puts a Packer on PATH and returns a function that returns its calls.

    A call is `PACKER_PLUGIN_PATH|arguments`.
    """

    def make(version: str, *, offline: bool = False, plugin: str = "1.1.4") -> Callable[[], list[str]]:
        log, path = tmp_path / "calls", tmp_path / "bin/packer"
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            _STAND_IN.format(log=log, version=version, offline="yes" if offline else "", plugin=plugin)
        )
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{path.parent}:/usr/bin:/bin")
        return lambda: log.read_text().splitlines()

    monkeypatch.delenv("PACKER_PLUGIN_PATH", raising=False)
    return make


@pytest.mark.parametrize("version", ["1.6.6", "1.7.0", "1.9.5"])
def test_a_packer_with_built_in_plugins_fetches_nothing(
    version: str, stand_in: Callable[..., Callable[[], list[str]]], make_plan: Callable[..., Plan]
) -> None:
    calls = stand_in(version, offline=True)
    packer_plugins.prepare(packer_files(make_plan()), None)
    assert calls() == ["|version"]


@pytest.mark.parametrize("version", ["1.10.0", "1.11.2", "1.16.0"])
def test_a_packer_without_them_fetches_those_of_the_template(
    version: str,
    stand_in: Callable[..., Callable[[], list[str]]],
    make_plan: Callable[..., Plan],
    tmp_path: Path,
) -> None:
    calls = stand_in(version)
    packer_plugins.prepare(packer_files(make_plan()), None)
    first, second = calls()
    assert first == "|version" and second.startswith("|init ")
    assert (tmp_path / "calls.init").read_text() == packer_files(make_plan())[-1].data.decode()


def test_no_network_at_init(stand_in: Callable[..., object], make_plan: Callable[..., Plan]) -> None:
    stand_in("1.16.0", offline=True)
    with pytest.raises(
        CommandFailed, match=r"plugins could not be fetched: qemu\n.*\ncould not get releases"
    ) as caught:
        packer_plugins.prepare(packer_files(make_plan()), None)
    assert "--plugins" in str(caught.value.hint)


def test_a_packer_that_is_too_old(stand_in: Callable[..., object], make_plan: Callable[..., Plan]) -> None:
    stand_in("1.6.5")
    with pytest.raises(MissingTool, match=r"packer 1\.6\.5: too old, notebake needs 1\.6\.6 or newer"):
        packer_plugins.prepare(packer_files(make_plan()), None)


def test_a_folder_of_plugins_goes_to_packer_and_nothing_is_fetched(
    stand_in: Callable[..., Callable[[], list[str]]], make_plan: Callable[..., Plan], tmp_path: Path
) -> None:
    folder = tmp_path / "plugins"
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    path = folder / f"github.com/hashicorp/qemu/packer-plugin-qemu_v1.1.4_x5.0_{sys.platform}_{machine}"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    path.with_name(f"{path.name}_SHA256SUM").write_text(hashlib.sha256(b"").hexdigest())
    calls = stand_in("1.16.0", offline=True)
    packer_plugins.prepare(packer_files(make_plan()), folder)
    write_folder(tmp_path / "packer", packer_files(make_plan()))
    settings = {"variables": {}, "var_file": tmp_path / "x", "plugins": folder}
    packer.validate(tmp_path / "packer", **settings)
    packer.build(tmp_path / "packer", log=tmp_path / "log", line=lambda text: None, **settings)
    assert [call.split()[0] for call in calls()] == ["|version", f"{folder}|validate", f"{folder}|build"]


def test_a_folder_of_plugins_for_a_packer_that_uses_none(
    stand_in: Callable[..., object], make_plan: Callable[..., Plan], tmp_path: Path
) -> None:
    stand_in("1.6.6")
    with pytest.raises(SpecError, match=r"Packer 1\.6\.6 has its plugins built in and uses no others"):
        packer_plugins.prepare(packer_files(make_plan()), tmp_path)


@pytest.mark.parametrize(
    ("version", "plugin", "ok", "says"),
    [
        ("1.6.6", "", True, "Packer 1.6.6, plugins built in"),
        ("1.9.5", "", True, "Packer 1.9.5, plugins built in"),
        ("1.16.0", "1.1.4", True, "Packer 1.16.0, qemu 1.1.4"),
        (
            "1.16.0",
            "1.1.3",
            True,
            "qemu 1.1.3 is older than 1.1.4: a bake fetches it, or `packer plugins install ",
        ),
        ("1.16.0", "none", True, "qemu is missing: a bake fetches it, or `packer plugins install "),
        ("1.5.6", "", False, "packer 1.5.6: too old, notebake needs 1.6.6 or newer"),
    ],
)
def test_doctor_names_version_and_plugins(
    run: Run, stand_in: Callable[..., object], version: str, plugin: str, ok: bool, says: str
) -> None:
    stand_in(version, plugin=plugin)
    _, out, _ = run("doctor", "--for", "bake", "--json")
    (row,) = [row for row in json.loads(out)["findings"] if row["what"] == "Packer's plugins"]
    assert row["ok"] is ok and says in row["detail"]


def test_the_command_names_a_wrong_folder_once(
    run: Run, stand_in: Callable[..., object], tmp_path: Path
) -> None:
    stand_in("1.16.0")
    # Were the folder taken, the bake would end here, at a QEMU that is too old.
    (tmp_path / "bin/qemu-system-x86_64").write_text("#!/bin/sh\necho QEMU emulator version 1.0\n")
    (tmp_path / "bin/qemu-system-x86_64").chmod(0o755)
    run("init", "--no-password")
    (tmp_path / "plugins").mkdir()
    code, _, err = run("bake", "debian-13", "--plugins", "plugins")
    assert (
        code == 2 and err.count("error:") == 1 and "no plugin qemu 1.1.4 or newer" in err and "hint:" in err
    )


def test_the_installed_packer_reads_past_the_plugins(make_plan: Callable[..., Plan], tmp_path: Path) -> None:
    """The real Packer. Debian's 1.6.6 refuses the block if it reads it; a folder of its own prevents that."""
    assert shutil.which("packer")
    made = packer_files(make_plan())
    write_folder(tmp_path / "apart", made)
    key = tmp_path / "key"
    key.write_text("")
    variables = {"seed_directory": str(tmp_path)}
    for name in ("user-data", "meta-data"):
        (tmp_path / name).write_text("")
    var_file = tmp_path / "apart/variables.pkrvars.json"
    packer.validate(tmp_path / "apart", variables=variables, var_file=var_file)
    if packer_plugins.version() < packer_plugins.FIRST_WITH_INIT:
        (tmp_path / "apart/qemu.pkr.hcl").write_bytes((tmp_path / "apart/plugins/qemu.pkr.hcl").read_bytes())
        with pytest.raises(CommandFailed, match="required_plugins"):
            packer.validate(tmp_path / "apart", variables=variables, var_file=var_file)
