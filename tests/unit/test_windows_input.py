"""Wrong input for Windows: one message, a hint, an exit code, no files. Hostile strings stay data."""

from __future__ import annotations

import base64
import builtins
import io
import json
import re
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.certificates import NOW
from tests.conftest import Run
from tests.rendering import packer_files, user_data
from tests.windows_media import wim, windows_iso

from notebake.bake import windows_iso as iso
from notebake.doctor import windows as windows_doctor
from notebake.errors import SpecError
from notebake.plan import plan, spec, spec_windows, targets, windows
from notebake.plan.plan import Plan
from notebake.provision import files
from notebake.render import output
from notebake.render.user_data import sizes

IMAGES = ["Windows Server 2025 SERVERSTANDARDCORE", "Windows Server 2025 SERVERSTANDARD"]


def test_the_images_of_an_iso_are_read(tmp_path: Path) -> None:
    windows_iso(tmp_path / "x.iso", wim(IMAGES))
    assert iso.images(tmp_path / "x.iso") == IMAGES
    windows_iso(tmp_path / "esd.iso", wim(IMAGES), "install.esd")
    assert iso.images(tmp_path / "esd.iso") == IMAGES


@pytest.mark.parametrize("content", [b"", b"MSWIM\0\0\0", b"x" * 300, wim(IMAGES)[:-40], wim(IMAGES)[:220]])
def test_a_broken_iso_is_refused(tmp_path: Path, content: bytes) -> None:
    windows_iso(tmp_path / "x.iso", content)
    with pytest.raises(SpecError, match=r"windows\.iso: .*x\.iso: not a Windows ISO"):
        iso.images(tmp_path / "x.iso")
    (tmp_path / "x.iso").write_bytes(content)
    with pytest.raises(SpecError, match="not a Windows ISO"):
        iso.images(tmp_path / "x.iso")


def test_bake_reports_each_missing_setting(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "notebake.toml"

    def bake(text: str) -> str:
        path.write_text(f"[windows]\n{text}\n")
        code, _, err = run("bake", "windows-2025")
        assert code == 2 and "hint:" in err
        assert not (tmp_path / "baked").exists()
        return err

    assert "windows.iso: not set" in bake("")
    assert "windows.iso_sha256: not set" in bake('iso = "w.iso"')
    assert "64 hex digits" in bake('iso = "w.iso"\niso_sha256 = "abc"')
    sha256 = windows_iso(tmp_path / "w.iso", wim(IMAGES))
    wrong = bake(f'iso = "w.iso"\niso_sha256 = "{"0" * 64}"')
    assert f"SHA-256 is {sha256}, expected 000" in wrong
    good = f'iso = "w.iso"\niso_sha256 = "{sha256.upper()}"\n'
    assert "windows.virtio_win: not set" in bake(good) and "0.1.271" in bake(good)
    (tmp_path / "v.iso").write_bytes(b"another release")
    assert "windows.virtio_win" in bake(good + 'virtio_win = "v.iso"')
    other = windows_iso(tmp_path / "o.iso", wim(["Windows Server 2022 SERVERSTANDARD"]))
    missing = bake(f'iso = "o.iso"\niso_sha256 = "{other}"')
    assert "has no image 'Windows Server 2025 SERVERSTANDARD'" in missing
    assert "its images are: Windows Server 2022 SERVERSTANDARD" in missing


def test_a_missing_iso_is_reported(run: Run, tmp_path: Path) -> None:
    (tmp_path / "notebake.toml").write_text(f'[windows]\niso = "w.iso"\niso_sha256 = "{"0" * 64}"')
    code, _, err = run("bake", "windows-2025")
    assert code == 2 and "w.iso: no such file" in err


def test_doctor_checks_the_isos_of_a_spec(tmp_path: Path) -> None:
    sha256 = windows_iso(tmp_path / "w.iso", wim(IMAGES))
    given = spec_windows.Windows(iso="w.iso", iso_sha256=sha256)
    rows = {row.what: row for row in windows_doctor.examine(given, tmp_path)}
    assert rows["Windows ISO"].ok
    assert not rows["virtio-win ISO"].ok and "not set" in rows["virtio-win ISO"].detail
    (tmp_path / "w.iso").write_bytes(b"")
    rows = {row.what: row for row in windows_doctor.examine(given, tmp_path)}
    assert not rows["Windows ISO"].ok and "SHA-256" in rows["Windows ISO"].detail
    assert windows_doctor.examine(spec_windows.Windows(), tmp_path) == []


@pytest.mark.parametrize("user", ["administrator", "guest", "con", "lpt1", "a" * 21, "system"])
def test_a_user_name_that_windows_refuses(run: Run, tmp_path: Path, user: str) -> None:
    (tmp_path / "notebake.toml").write_text(f'user = "{user}"')
    code, _, err = run("render", "windows-2025")
    assert code == 2 and f"user '{user}': not a valid Windows user name" in err and "hint:" in err
    assert not (tmp_path / "rendered").exists()
    assert run("plan", "debian-13")[0] == 0, "Linux takes it"


@pytest.mark.parametrize("folder", ["/srv/notebooks", "a:b", "con", "x/nul.txt", "trailing.", "a?b", "a\\b"])
def test_a_folder_name_that_windows_refuses(folder: str) -> None:
    wrong = spec.Spec.model_validate({"notebook": {"folder": folder}})
    with pytest.raises(SpecError, match="not a valid folder on Windows"):
        windows.check_spec(wrong)


@pytest.mark.parametrize("name", ["a" * 16, "1234", "-box", "box_1", "box.example", ""])
def test_a_computer_name_that_windows_refuses(name: str) -> None:
    with pytest.raises(SpecError, match="not a valid Windows computer name"):
        windows.check_computer(name)
    windows.check_computer("a" * 15)


def test_render_accepts_host_names_of_up_to_15_characters(run: Run, tmp_path: Path) -> None:
    (tmp_path / "notebake.toml").write_text("")
    code, _, err = run("render", "windows-2025", "--hostname", "a" * 16)
    assert code == 2 and "computer name" in err and not (tmp_path / "rendered").exists()
    assert run("render", "windows-2025", "--hostname", "a" * 15)[0] == 0
    assert f'local-hostname: "{"a" * 15}"' in (tmp_path / "rendered/windows-2025/meta-data").read_text()


def test_too_large_user_data_is_refused(run: Run, tmp_path: Path) -> None:
    import random

    noise = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=6000))
    (tmp_path / "big.ipynb").write_text(json.dumps({"nbformat": 4, "cells": [noise]}))
    (tmp_path / "notebake.toml").write_text('[notebook]\npreload = ["big.ipynb"]')
    code, _, err = run("render", "windows-2025")
    assert code == 2 and "the limit of aws is 16,384; the largest part is" in err
    assert not (tmp_path / "rendered").exists()
    assert run("render", "windows-2025", "--cloud", "azure", "--cloud", "gcp")[0] == 0


def test_launch_refuses_windows(run: Run, tmp_path: Path) -> None:
    (tmp_path / "notebake.toml").write_text("")
    code, _, err = run("launch", "windows-2025")
    assert code == 2 and "notebake render" in err


@pytest.mark.parametrize("target", ["windows-2025", "windows-2022"])
def test_the_same_plan_gives_the_same_bytes_within_every_limit(
    target: str, make_plan: Callable[..., Plan]
) -> None:
    first, second = (output.render(make_plan(target=target)).files for _ in range(2))
    assert first == second
    for size, limit in sizes(user_data(make_plan(target=target))).values():
        assert size <= limit
    assert len(next(file.data for file in first if file.path == "aws/user-data")) < 16_200


def test_an_image_and_its_user_data_have_the_same_digest(make_plan: Callable[..., Plan]) -> None:
    """Else a clone that is given its own user-data would set itself up again."""
    made = make_plan(target="windows-2025")
    (packed,) = [file.data for file in packer_files(made) if file.path == "guest.tar.gz"]
    script = user_data(made).clouds["gcp"].decode()
    carried = base64.b64decode(re.match(r"\$Archive = '([^']+)'", script)[1])  # type: ignore[index]
    digests, names = [], []
    for archive in (packed, carried):
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            names.append(tar.getnames())
            digests.append(tar.extractfile("digest").read())  # type: ignore[union-attr]
    assert "requirements.txt" in names[0] and "names.txt" in names[1]
    assert digests[0] == digests[1]


def test_an_administrators_password_and_keys_are_in_meta_data_only(run: Run, tmp_path: Path) -> None:
    (tmp_path / "notebake.toml").write_text("[windows]\nrdp = true\n")
    (tmp_path / "id.pub").write_text("ssh-ed25519 AAAA me\n")
    asked = ["--admin-password-stdin", "--ssh-key", "id.pub"]
    code, out, _ = run("render", "windows-2025", *asked, stdin="Secret: 'x'\n")
    assert code == 0 and "Secret" not in out
    meta = yaml.safe_load((tmp_path / "rendered/windows-2025/meta-data").read_text())
    assert (meta["admin_pass"], meta["public-keys"]) == ("Secret: 'x'", ["ssh-ed25519 AAAA me"])
    having = {
        path.name
        for path in (tmp_path / "rendered").rglob("*")
        if path.is_file() and b"Secret" in path.read_bytes()
    }
    assert having == {"meta-data", "seed.iso"}
    for name in having:
        assert (tmp_path / "rendered/windows-2025" / name).stat().st_mode & 0o077 == 0
    assert run("render", "windows-2025", "--admin-password-stdin")[0] == 2, "an empty password"
    assert run("render", "debian-13", "--admin-password-stdin", stdin="x\n")[0] == 2


@pytest.mark.parametrize("builder", ["qemu", "hyperv-iso"])
def test_a_build_by_hand_has_its_password_twice(run: Run, tmp_path: Path, builder: str) -> None:
    """In the answer file and in Packer's variable: with an empty one nobody could log in."""
    (tmp_path / "notebake.toml").write_text("")
    asked = ["--builder", builder, "--build-password-stdin"]
    assert run("render", "windows-2025", *asked, stdin="aA1-&<x\n")[0] == 0
    folder = tmp_path / "rendered/windows-2025/packer"
    root = ElementTree.parse(folder / "answer/Autounattend.xml").getroot()
    assert [element.text for element in root.iterfind(".//{*}Value")][1:] == ["aA1-&<x", "aA1-&<x"]
    assert json.loads((folder / "password.pkrvars.json").read_text()) == {"winrm_password": "aA1-&<x"}
    assert (folder / "password.pkrvars.json").stat().st_mode & 0o077 == 0
    assert {path.name for path in folder.glob("*.pkr.hcl")} == {"windows.pkr.hcl", f"{builder}.pkr.hcl"}
    assert [path.stem for path in (folder / "plugins").iterdir()] == [f"{builder}.pkr"]


def test_render_says_how_to_read_fingerprint_and_token(run: Run, tmp_path: Path) -> None:
    (tmp_path / "notebake.toml").write_text("")
    _, out, _ = run("render", "windows-2025", "--cloud", "aws")
    assert "get-console-output --latest" in out and "gcloud" not in out
    _, out, _ = run("render", "windows-2025")
    assert all(
        word in out for word in ("get-serial-port-output", "az vm run-command", "openstack console log")
    )


@pytest.mark.parametrize("key", ["AAAAA-BBBBB", "AAAAABBBBBCCCCCDDDDDEEEEE", "AAAAA-BBBBB-CCCCC-DDDDD-EEE!E"])
def test_a_product_key_that_is_none_is_refused_and_not_printed(run: Run, tmp_path: Path, key: str) -> None:
    (tmp_path / "notebake.toml").write_text(f'[windows]\nproduct_key = "{key}"\n')
    code, _, err = run("render", "windows-2025")
    assert code == 2 and "windows.product_key: not a product key" in err and key not in err


HOSTILE = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=60),
    st.sampled_from(["'", "''", '"', "`", "$(Stop-Computer)", "'; Stop-Computer #", "</powershell>", "\n",
                     "\u2019", "]]>"]),
)  # fmt: skip


# Each example packs the archive as small as it can be, which takes a while.
@settings(max_examples=20)
@given(folder=HOSTILE, endpoint=HOSTILE, notebook=HOSTILE)
def test_hostile_fields_stay_data_in_powershell_and_json(folder: str, endpoint: str, notebook: str) -> None:
    """Fields are only in the archive, which is base64 in quotes; the rest of the script never changes."""
    try:
        hostile = spec.Spec.model_validate({"notebook": {"folder": folder}, "endpoint": {"name": endpoint}})
    except ValueError:
        return
    base = plan.make(spec.Spec(), targets.get("windows-2025"), Path("/nonexistent"), now=NOW)
    content = json.dumps({"cells": [notebook]}, ensure_ascii=False).encode()
    hostile_plan = Plan(**{**vars(base), "spec": hostile, "notebooks": (("x.ipynb", content),)})
    first, rest = user_data(hostile_plan).clouds["gcp"].decode().split("\n", 1)
    assert rest == user_data(base).clouds["gcp"].decode().split("\n", 1)[1]
    packed = re.fullmatch(r"\$Archive = '([A-Za-z0-9+/=]+)'", first)
    assert packed is not None
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(packed[1]))) as tar:
        items = {file.name: tar.extractfile(file).read() for file in tar}  # type: ignore[union-attr]
    config = items.pop("config.json")
    assert config.isascii() and json.loads(config)["folder"] == folder
    assert items.pop("notebooks/x.ipynb") == content
    clean = {file.path: file.data for file in files.build(base).files}
    for path in ("setup.ps1", "configure.py", "service.py", "certificate.py"):
        assert items[path] == clean[path]


REFUSED = {"sh", "packer", "fcntl", "pwd", "grp", "termios", "resource"}


@pytest.mark.parametrize(
    "words",
    [("init", "--no-password", "other.toml"), ("render", "windows-2025"), ("plan", "windows-2025"),
     ("targets",), ("render", "debian-13"), ("passwd", "--password-stdin"), ("schema",)],
    ids=lambda words: " ".join(words),
)  # fmt: skip
def test_commands_for_a_windows_host_import_no_unix_modules(
    words: tuple[str, ...], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """sh and others cannot be imported on Windows: no command may import them before a bake."""
    (tmp_path / "notebake.toml").write_text("[notebook]\nport = 9999\n")
    monkeypatch.setattr("sys.stdin", io.StringIO("quite a long sentence\n"))
    monkeypatch.setenv("PATH", str(tmp_path))  # without the programs that a bake needs
    # Import the package again, as in a new process.
    for name in [name for name in sys.modules if name.split(".")[0] == "notebake" or name in REFUSED]:
        monkeypatch.delitem(sys.modules, name)
    whole, asked = builtins.__import__, []

    def refuse(name: str, globals: Any = None, *args: Any, **kwargs: Any) -> Any:
        by = (globals or {}).get("__name__", "")
        if name.split(".")[0] in REFUSED and not by.startswith(
            ("subprocess", "tempfile", "shutil", "_pytest")
        ):
            asked.append((by, name))
            raise ImportError(f"no module {name} on Windows")
        return whole(name, globals, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    from notebake.cli import main as fresh

    with pytest.raises(SystemExit) as caught:
        fresh.main(list(words))
    assert not caught.value.code, asked
    assert not [by for by, _ in asked if by.startswith("notebake")]
