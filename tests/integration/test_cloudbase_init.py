"""The real cloudbase-init reads rendered files over two boots; a stand-in records its calls to Windows."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.rendering import packer_files, user_data

from notebake import process, seed
from notebake.plan.plan import Plan
from notebake.render import nocloud

DRIVER = Path(__file__).with_name("cloudbase_boot.py")
SERVICE = "cloudbaseinit.metadata.services.nocloudservice.NoCloudConfigDriveService"


class Machine:
    """A clone of a golden image: its configuration, its seed, and what is kept between boots."""

    def __init__(self, plan: Plan, folder: Path, user_data: bytes, hostname: str | None, now: str) -> None:
        self.conf, self.medium, self.state = folder / "init.conf", folder / "seed.iso", folder / "state.json"
        files = {file.path: file.data for file in packer_files(plan)}
        self.conf.write_bytes(files["cloudbase-init.conf"])
        meta = nocloud.meta_data(instance_id="box-1", hostname=hostname)
        self.medium.write_bytes(seed.iso({"user-data": user_data, "meta-data": meta}))
        self.state.write_text(json.dumps({"host": now, "registry": {}}))

    def boot(self) -> list[list[Any]]:
        done = process.run([sys.executable, DRIVER, self.conf, self.medium, self.state], timeout=60)
        calls: list[list[Any]] = json.loads(done.stdout.splitlines()[-1])
        return calls


def names(calls: list[list[Any]]) -> list[str]:
    return [call[0] for call in calls]


@pytest.fixture
def plan(make_plan: Callable[..., Plan]) -> Plan:
    return make_plan(target="windows-2025")


def test_a_new_host_name_causes_a_reboot_and_the_script_runs_once_after_it(
    plan: Plan, tmp_path: Path
) -> None:
    data = user_data(plan).clouds["openstack"]
    machine = Machine(plan, tmp_path, data, "box", "WIN-ABCDEF")
    assert machine.boot() == [["boot"], ["set_host_name", "box"], ["reboot"]]
    second = machine.boot()
    assert names(second) == ["boot", "powershell", "terminate"]
    assert second[1][1:] == [True, data.decode()]
    assert names(machine.boot()) == ["boot", "terminate"]


def test_without_a_new_host_name_the_script_runs_at_the_first_boot(plan: Plan, tmp_path: Path) -> None:
    data = user_data(plan).clouds["openstack"]
    for hostname, now in (("box", "BOX"), (None, "WIN-ABCDEF")):
        first = Machine(plan, tmp_path, data, hostname, now).boot()
        assert names(first) == ["boot", "powershell", "terminate"]
        assert first[1][2] == data.decode()


def test_user_data_for_openstack_and_aws_run_the_same_script(plan: Plan, tmp_path: Path) -> None:
    clouds = user_data(plan).clouds
    script = user_data(plan).clouds["gcp"].decode()
    for cloud, runs in (("openstack", f"#ps1_sysnative\n{script}"), ("aws", script.strip())):
        calls = Machine(plan, tmp_path, clouds[cloud], None, "box").boot()
        assert (calls[1][0], calls[1][2]) == ("powershell", runs)
    # Agents of Azure and Google run theirs: without a header cloudbase-init ignores them.
    for cloud in ("azure", "gcp"):
        assert names(Machine(plan, tmp_path, clouds[cloud], None, "box").boot()) == ["boot", "terminate"]


def test_user_data_with_a_wrong_header_is_not_run(plan: Plan, tmp_path: Path) -> None:
    for wrong in (b"#ps1_sysnativ\n", b"# ps1\n", b" #ps1_sysnative\n"):
        data = wrong + user_data(plan).clouds["gcp"]
        assert names(Machine(plan, tmp_path, data, None, "box").boot()) == ["boot", "terminate"]


def test_a_medium_with_another_label_is_ignored(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seed, "VOLUME", "cidatb")
    machine = Machine(plan, tmp_path, user_data(plan).clouds["openstack"], "box", "box")
    # NoCloud only: other services would use the network.
    text = machine.conf.read_text()
    machine.conf.write_text(re.sub(r"(?m)^metadata_services = .*", f"metadata_services = {SERVICE}", text))
    assert names(machine.boot()) == ["boot", "terminate"]


PARSE = """
import importlib.util, json, sys
from cloudbaseinit import conf
from oslo_config import cfg
from oslo_log import log
CONF = conf.CONF
log.register_options(CONF)
CONF(["--config-file", sys.argv[1]], project="cloudbaseinit")
groups = {"DEFAULT": CONF._opts, "config_drive": CONF._groups["config_drive"]._opts}
given = cfg.ConfigParser(sys.argv[1], {})
given.parse()
unknown = [
    name for group, found in given.sections.items() for name in found
    if name not in {known["opt"].dest for known in groups[group].values()}
]
missing = []
for path in [*CONF.metadata_services, *CONF.plugins]:
    module, _, name = path.rpartition(".")
    source = importlib.util.find_spec(module)
    if source is None or f"class {name}(" not in open(source.origin).read():
        missing.append(path)
print(json.dumps({
    "unknown": unknown, "missing": missing, "services": CONF.metadata_services, "plugins": CONF.plugins,
    "username": CONF.username, "reboot": CONF.allow_reboot, "stop": CONF.stop_service_on_exit,
    "media": [sorted(CONF.config_drive.types), sorted(CONF.config_drive.locations)],
}))
"""


def parsed(path: Path) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(
        process.run([sys.executable, "-c", PARSE, path], timeout=60).stdout.splitlines()[-1]
    )
    return parsed


def test_every_option_and_class_of_the_configuration_exists(plan: Plan, tmp_path: Path) -> None:
    files = {file.path: file.data for file in packer_files(plan)}
    path = tmp_path / "init.conf"
    path.write_bytes(files["cloudbase-init.conf"])
    main = parsed(path)
    assert (main["unknown"], main["missing"]) == ([], [])
    assert main["services"][0] == SERVICE and main["username"] == "azureuser"
    assert [name.rsplit(".", 1)[1] for name in main["plugins"]][-1] == "UserDataPlugin"
    order = [name.rsplit(".", 1)[1] for name in main["plugins"]]
    assert order.index("SetHostNamePlugin") < order.index("UserDataPlugin")
    assert (main["reboot"], main["stop"]) == (True, True)
    assert main["media"] == [["iso", "vfat"], ["cdrom", "hdd", "partition"]]
    path.write_bytes(files["cloudbase-init-unattend.conf"])
    early = parsed(path)
    assert (early["unknown"], early["missing"]) == ([], [])
    # In sysprep's specialize pass nothing may reboot, and user-data does not run.
    assert (early["reboot"], early["stop"]) == (False, False)
    assert not any("userdata" in name for name in early["plugins"])
    text = files["cloudbase-init.conf"].decode()
    path.write_text(text.replace("username", "user_name").replace("UserDataPlugin", "UserDatePlugin"))
    broken = parsed(path)
    assert broken["unknown"] == ["user_name"] and len(broken["missing"]) == 1
