"""Run the real cloudbase-init for one boot, with a stand-in for Windows that records its calls.

Usage: cloudbase_boot.py CONF MEDIUM STATE. MEDIUM is the volume labelled cidata, STATE a JSON file that is
kept between boots: the host name and cloudbase-init's registry values. Prints the calls as JSON.
"""

import io
import json
import platform
import sys
from pathlib import Path

import pycdlib
from cloudbaseinit import conf as conf_module
from cloudbaseinit import init
from cloudbaseinit.metadata.services.osconfigdrive import base as drive_base
from cloudbaseinit.metadata.services.osconfigdrive import factory as drive_factory
from cloudbaseinit.osutils import base as os_base
from cloudbaseinit.osutils import factory as os_factory
from cloudbaseinit.utils import log


class Medium(drive_base.BaseConfigDriveManager):
    """Copies the files of the volume with the given label, as cloudbase-init's manager for Windows does."""

    def get_config_drive_files(
        self, drive_label, metadata_file, searched_types=None, searched_locations=None
    ):
        volume = pycdlib.PyCdlib()
        volume.open(sys.argv[2])
        label = volume.pvd.volume_identifier.decode().strip()
        matches = label.lower() == drive_label.lower() and "iso" in searched_types
        if matches:
            for child in volume.list_children(joliet_path="/"):
                if child.is_file():
                    name = child.file_identifier().decode("utf-16-be").removesuffix(";1")
                    content = io.BytesIO()
                    volume.get_file_from_iso_fp(content, joliet_path=f"/{name}")
                    (Path(self.target_path) / name).write_bytes(content.getvalue())
            matches = (Path(self.target_path) / metadata_file).exists()
        volume.close()
        return matches


class Windows(os_base.BaseOSUtils):
    """A stand-in for Windows. Every method that is not defined here raises NotImplementedError."""

    def get_config_value(self, name, section=None):
        return state["registry"].get(f"{section}/{name}")

    def set_config_value(self, name, value, section=None):
        state["registry"][f"{section}/{name}"] = value

    def wait_for_boot_completion(self):
        calls.append(["boot"])

    def set_host_name(self, name):
        calls.append(["set_host_name", name])
        state["host"] = name
        return True

    def execute_process(self, args, shell=True, decode_output=False):
        calls.append(["run", [args[0], Path(args[-1]).suffix], Path(args[-1]).read_text("ascii")])
        return b"", b"", state.get("exit_code", 0)

    def execute_powershell_script(self, path, sysnative=True):
        calls.append(["powershell", sysnative, Path(path).read_text("ascii")])
        return b"", b"", state.get("exit_code", 0)

    def reboot(self):
        calls.append(["reboot"])

    def terminate(self):
        calls.append(["terminate"])


state = json.loads(Path(sys.argv[3]).read_text())
calls = []
platform.node = lambda: state["host"]
drive_factory.get_config_drive_manager = Medium
os_factory.get_os_utils = Windows
conf_module.CONF(["--config-file", sys.argv[1]], project="cloudbaseinit")
conf_module.CONF.set_override("log_dir", str(Path(sys.argv[3]).parent))
log.setup("cloudbaseinit")
init.InitManager().configure_host()
Path(sys.argv[3]).write_text(json.dumps(state))
print(json.dumps(calls))
