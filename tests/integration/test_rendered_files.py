"""Rendered files, read by the real programs: cloud-init, Packer, systemd."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.rendering import packer_files, user_data

from notebake import paths, process, ssh
from notebake.bake import packer, packer_plugins
from notebake.errors import CommandFailed
from notebake.files import RenderedFile, sha256, write_folder
from notebake.plan.plan import Plan
from notebake.render import linux, nocloud

LINUX = ("debian-13", "ubuntu-24.04", "ubuntu-26.04", "opensuse-leap-16.0")


def schema(path: Path) -> process.Completed:
    return process.run(["cloud-init", "schema", "--config-file", path], timeout=60, check=False)


@pytest.mark.parametrize("target", LINUX)
def test_cloud_init_accepts_the_user_data(
    target: str, make_plan: Callable[..., Plan], tmp_path: Path
) -> None:
    path = tmp_path / "user-data"
    path.write_bytes(user_data(make_plan(target=target)).clouds["gcp"])
    assert path.read_bytes().startswith(b"#cloud-config\n")  # the schema does not check this line
    assert schema(path).returncode == 0, schema(path).stdout
    path.write_bytes(nocloud.build_seed("ssh-ed25519 AAAA x")["user-data"])
    assert schema(path).returncode == 0, schema(path).stdout


def test_cloud_init_refuses_broken_user_data(make_plan: Callable[..., Plan], tmp_path: Path) -> None:
    path = tmp_path / "user-data"
    path.write_bytes(user_data(make_plan()).clouds["gcp"].replace(b"bootcmd:\n", b"bootcmd: yes\nx:\n"))
    assert schema(path).returncode != 0


def packer_folder(plan: Plan, folder: Path) -> dict[str, str]:
    write_folder(folder / "packer", packer_files(plan))
    seed = nocloud.build_seed(ssh.new_key(folder / "key"))
    write_folder(folder / "seed", [RenderedFile(path=name, data=data) for name, data in seed.items()])
    return {"ssh_private_key_file": str(folder / "key"), "seed_directory": str(folder / "seed")}


@pytest.mark.parametrize("target", LINUX)
def test_packer_validates_the_template(target: str, make_plan: Callable[..., Plan], tmp_path: Path) -> None:
    variables = packer_folder(make_plan(target=target), tmp_path)
    packer.validate(
        tmp_path / "packer", variables=variables, var_file=tmp_path / "packer/variables.pkrvars.json"
    )


@pytest.mark.parametrize("target", LINUX)
def test_a_newer_packer_validates_the_template_with_external_plugins(
    target: str, make_plan: Callable[..., Plan], newer_packer: Path, tmp_path: Path
) -> None:
    plan = make_plan(target=target)
    packer_plugins.prepare(packer_files(plan), newer_packer)
    # The plugin, started by a script that writes down its arguments: Packer 1.9.4 has one built in too.
    plugins, calls = tmp_path / "plugins", tmp_path / "calls"
    shutil.copytree(newer_packer, plugins)
    (program,) = (path for path in plugins.rglob("packer-plugin-*") if "_SHA256SUM" not in path.name)
    real = program.rename(tmp_path / "plugin")
    program.write_text(f'#!/bin/sh\necho "$*" >> {calls}\nexec {real} "$@"\n')
    program.chmod(0o755)
    program.with_name(f"{program.name}_SHA256SUM").write_text(sha256(program))
    variables = packer_folder(plan, tmp_path)
    var_file = tmp_path / "packer/variables.pkrvars.json"
    packer.validate(tmp_path / "packer", variables=variables, var_file=var_file, plugins=plugins)
    assert "start builder" in calls.read_text()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [("disk_interface ", "disk_interfaces ", "disk_interfaces"),
     ("machine_type = ", "machine_type == ", "Error"),
     ('"shell"', '"shel"', "shel"), ("var.target", "var.tarjet", "tarjet")],
)  # fmt: skip
def test_packer_refuses_a_wrong_key_and_the_error_says_why(
    old: str, new: str, says: str, make_plan: Callable[..., Plan], tmp_path: Path
) -> None:
    variables = packer_folder(make_plan(), tmp_path)
    template = tmp_path / "packer/linux.pkr.hcl"
    assert old in template.read_text()
    template.write_text(template.read_text().replace(old, new))
    with pytest.raises(CommandFailed, match=says):
        packer.validate(
            tmp_path / "packer", variables=variables, var_file=tmp_path / "packer/variables.pkrvars.json"
        )


def test_a_failed_packer_build_is_an_error_with_its_log(
    make_plan: Callable[..., Plan], tmp_path: Path
) -> None:
    variables = packer_folder(make_plan(), tmp_path)
    lines: list[str] = []
    log = tmp_path / "log"
    with pytest.raises(CommandFailed, match="packer: exit code 1"):
        packer.build(
            tmp_path / "packer",
            variables={
                **variables,
                "base_image": str(tmp_path / "nothing.qcow2"),
                "output_directory": str(tmp_path / "out"),
            },
            var_file=tmp_path / "packer/variables.pkrvars.json",
            log=log,
            line=lines.append,
        )
    assert "nothing.qcow2" in log.read_text()
    assert any("nothing.qcow2" in line for line in lines)
    assert not (tmp_path / "out").exists()


def test_packers_variables_have_the_digest_of_a_downloaded_base(make_plan: Callable[..., Plan]) -> None:
    for target, start in (("ubuntu-24.04", "sha256:"), ("opensuse-leap-16.0", "none")):
        variables = json.loads(linux.packer_variables(make_plan(target=target)))
        assert variables["base_checksum"].startswith(start)
        assert variables["base_image"].startswith("https://")


# They install packages, whose scripts may do anything.
UNSAFE = {"notebake-setup.service", "notebake-updates.service"}
UNITS = {
    path.name: path for path in paths.data_folder("cloud-init").rglob("*.service") if path.name not in UNSAFE
}


@pytest.mark.parametrize("name", UNITS)
def test_systemd_rates_the_exposure_of_each_unit_at_most_4(name: str) -> None:
    argv = ["systemd-analyze", "security", "--offline=true", "--threshold=40"]
    assert process.run([*argv, UNITS[name]], timeout=60).returncode == 0


def test_systemd_accepts_the_units(make_plan: Callable[..., Plan], tmp_path: Path) -> None:
    """systemd-analyze verify in a root file system that has the programs of the units."""
    from notebake.provision import files

    root = tmp_path / "root"
    for program in (
        "usr/bin/python3",
        "opt/notebake/env/bin/python",
        "bin/sh",
        "usr/bin/touch",
        "usr/sbin/nft",
    ):
        (root / program).parent.mkdir(parents=True, exist_ok=True)
        (root / program).write_text("#!/bin/sh\n")
        (root / program).chmod(0o755)
    units = root / "etc/systemd/system"
    units.mkdir(parents=True)
    for name in ("sysinit", "basic", "shutdown", "multi-user", "timers", "network-online"):
        (units / f"{name}.target").write_text(f"[Unit]\nDescription={name}\n")
    (units / "cloud-init-local.service").write_text("[Service]\nType=oneshot\nExecStart=/bin/sh\n")
    names = []
    for file in files.build(make_plan()).files:
        if file.path.startswith("units/"):
            names.append(file.path.removeprefix("units/"))
            (units / names[-1]).write_bytes(file.data.replace(b"@user@", b"azureuser"))

    def verify() -> process.Completed:
        argv = ["systemd-analyze", "verify", f"--root={root}", "--man=no"]
        argv += [f"/etc/systemd/system/{name}" for name in names]
        return process.run(argv, timeout=60, check=False)

    assert verify().stdout == b""
    broken = units / "notebake-notebook.service"
    broken.write_text(broken.read_text().replace("Restart=always", "Restrat=always"))
    assert b"Restrat" in verify().stdout
