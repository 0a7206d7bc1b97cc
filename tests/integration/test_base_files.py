"""The files of Debian's base image: shell scripts pass their linters, settings have what the boot needs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

from notebake import process
from notebake.paths import data_folder

BASE = data_folder("images") / "debian-13" / "base"
# The linters come from wheels, beside the interpreter, which may not be on PATH.
TOOLS = Path(sys.executable).parent
SHELL = sorted([*BASE.rglob("*.sh"), *(BASE / "files/etc/initramfs-tools/hooks").iterdir()])


def test_all_shell_files_are_found() -> None:
    assert [path.name for path in SHELL] == ["after-packages.sh", "before-packages.sh", "zz-lean"]


@pytest.mark.parametrize("script", SHELL, ids=lambda path: path.name)
def test_shellcheck_passes(script: Path) -> None:
    process.run([TOOLS / "shellcheck", script], timeout=60)


@pytest.mark.parametrize("script", SHELL, ids=lambda path: path.name)
def test_shfmt_passes(script: Path) -> None:
    process.run([TOOLS / "shfmt", "-d", "-i", "2", script], timeout=60)


def test_the_boot_loader_starts_debians_newest_kernel_with_a_serial_console() -> None:
    text = (BASE / "grub-early.cfg").read_text()
    assert "linux /vmlinuz " in text
    assert "initrd /initrd.img" in text
    # The last one is /dev/console, where cloud-init's output and the fingerprints are printed.
    consoles = [word for word in text.split() if word.startswith("console=")]
    assert consoles == ["console=tty0", "console=ttyS0,115200"]


def test_cloud_inits_data_sources_are_listed_on_one_line() -> None:
    text = (BASE / "files/etc/cloud/cloud.cfg.d/90-image.cfg").read_text()
    # ds-identify is a shell script that only reads a list on one line.
    line = next(line for line in text.splitlines() if line.startswith("datasource_list:"))
    sources = yaml.safe_load(line)["datasource_list"]
    assert sources == ["NoCloud", "ConfigDrive", "Azure", "Ec2", "GCE", "OpenStack", "None"]
    assert yaml.safe_load(text)["system_info"]["network"]["renderers"] == ["networkd"]


def test_the_base_image_has_no_notebook() -> None:
    for path in BASE.rglob("*"):
        if path.is_file():
            text = path.read_text().lower()
            assert not any(word in text for word in ("jupyter", "notebake", "nbserver")), path
