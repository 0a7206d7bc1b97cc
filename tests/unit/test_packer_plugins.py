"""What is read of Packer's version and its plugins, and a folder of plugins that is checked."""

from __future__ import annotations

import hashlib
import platform
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.rendering import packer_files

from notebake import paths
from notebake.bake import packer_plugins
from notebake.bake.packer_plugins import Plugin, check, parse_version, required
from notebake.errors import CommandFailed, SpecError
from notebake.plan.plan import Plan
from notebake.render.windows_packer import SOURCES

QEMU = Plugin(source="github.com/hashicorp/qemu", oldest=(1, 1, 4))


def put(folder: Path, version: str = "1.1.4", *, sums: str | None = None, system: str = "") -> Path:
    """A plugin as Packer keeps it, with its checksum or with another text in that place."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    path = (
        folder / f"{QEMU.source}/packer-plugin-qemu_v{version}_x5.0_{system or f'{sys.platform}_{machine}'}"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(version.encode())
    digest = hashlib.sha256(version.encode()).hexdigest()
    path.with_name(f"{path.name}_SHA256SUM").write_text(digest if sums is None else sums)
    return path


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("Packer v1.6.6\n", (1, 6, 6)),
        (
            "Packer v1.16.0\n\nYour version of Packer is out of date! The latest version\nis 1.16.1.\n",
            (1, 16, 0),
        ),
    ],
)
def test_a_version(text: str, version: tuple[int, ...]) -> None:
    assert parse_version(text) == version


@pytest.mark.parametrize("text", ["", "packer 1.0\n", "usage: packer [dictionary]\n"])
def test_a_program_that_is_no_packer(text: str) -> None:
    with pytest.raises(CommandFailed, match="no version number") as caught:
        parse_version(text)
    assert "HashiCorp's Packer" in str(caught.value.hint)


def test_a_template_has_the_plugins_of_its_sources_and_no_others(make_plan: Callable[..., Plan]) -> None:
    for sources, names in (
        (("qemu",), ["qemu"]),
        (SOURCES, ["qemu", "hyperv", "azure", "amazon", "googlecompute"]),
    ):
        made = packer_files(make_plan(target="windows-2025"), sources=sources)
        assert [plugin.name for plugin in required(made)] == names
        text = {item.path: item.data.decode() for item in made if item.path.endswith(".pkr.hcl")}
        assert [name for name in SOURCES if f'source "{name}" "image"' in "".join(text.values())] == [
            *sources
        ]
        assert [name for name in SOURCES if f'"source.{name}.image"' in text["windows.pkr.hcl"]] == [*sources]
        # Packer 1.6 refuses to read such a block, and reads every file of the template's own folder.
        assert not [path for path in text if "required_plugins" in text[path] and "/" not in path]
    assert required(packer_files(make_plan(target="debian-13"))) == (QEMU,) == required()


def test_each_source_names_its_plugin() -> None:
    folder = paths.data_folder("images") / "_shared/plugins"
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{name}.pkr.hcl" for name in SOURCES)


@pytest.mark.parametrize(
    "sums", [None, hashlib.sha256(b"1.2.0").hexdigest().upper() + "  packer-plugin-qemu\n"]
)
def test_a_whole_plugin_is_taken_beside_worse_ones(tmp_path: Path, sums: str | None) -> None:
    put(tmp_path, "1.0.9")
    put(tmp_path, "1.1.5", sums="0" * 64)
    put(tmp_path, "1.2.0", sums=sums)
    check(tmp_path, QEMU)


def test_a_folder_without_the_plugin(tmp_path: Path) -> None:
    put(tmp_path, system="plan9_amd64")
    with pytest.raises(SpecError, match=r"no plugin qemu 1\.1\.4 or newer for \w+_\w+ in ") as caught:
        check(tmp_path, QEMU)
    assert "packer plugins install --path FILE github.com/hashicorp/qemu" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("version", "sums", "says"),
    [
        ("1.0.9", None, "too old, 1.1.4 or newer is needed"),
        ("1.1.3", None, "too old, 1.1.4 or newer is needed"),
        ("1.1.4", "0" * 64, f"SHA-256 is .*, but its _SHA256SUM says {'0' * 64}"),
        ("1.1.4", "", "but its _SHA256SUM says"),
        ("1.1.4-dev", None, "its name has no release's version"),
    ],
)
def test_a_plugin_that_cannot_be_used(tmp_path: Path, version: str, sums: str | None, says: str) -> None:
    put(tmp_path, version, sums=sums)
    with pytest.raises(SpecError, match=says):
        check(tmp_path, QEMU)


def test_a_plugin_without_its_checksum(tmp_path: Path) -> None:
    path = put(tmp_path)
    path.with_name(f"{path.name}_SHA256SUM").unlink()
    with pytest.raises(SpecError, match=r"_SHA256SUM: missing"):
        check(tmp_path, QEMU)


def test_packer_gets_its_folders_and_nothing_else_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACKER_PLUGIN_PATH", "/mine")
    monkeypatch.setenv("PACKER_LOG", "1")
    assert packer_plugins.settings()["PACKER_PLUGIN_PATH"] == "/mine"
    assert packer_plugins.settings(Path("/other"))["PACKER_PLUGIN_PATH"] == "/other"
    assert "PACKER_LOG" not in packer_plugins.settings()
