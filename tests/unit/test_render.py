"""Rendering: golden files, reproducible bytes, size limits, and hostile strings that stay data."""

from __future__ import annotations

import ast
import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pycdlib
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from tests.certificates import NOW
from tests.rendering import carried, delivered, user_data

from notebake import paths, seed, templates
from notebake.errors import SpecError
from notebake.plan import plan, spec, targets
from notebake.plan.plan import Plan
from notebake.provision import files
from notebake.render import linux, output
from notebake.render import user_data as render_user_data

GOLDEN = Path(__file__).parents[1] / "golden"
LINUX = ("debian-13", "ubuntu-24.04", "ubuntu-26.04", "opensuse-leap-16.0")


GOLDEN_FILES = {
    **dict.fromkeys(LINUX, ("user-data.yaml", "meta-data", "packer/variables.pkrvars.json")),
    **dict.fromkeys(
        ("windows-2022", "windows-2025"),
        (
            "meta-data",
            "azure/extension.json",
            "packer/variables.pkrvars.json",
            "packer/answer/Autounattend.xml",
            "packer/cloudbase-init.conf",
            "packer/cloudbase-init-unattend.conf",
        ),
    ),
}


@pytest.mark.parametrize("target", GOLDEN_FILES)
def test_rendered_files_are_the_golden_files(
    target: str, make_plan: Callable[..., Plan], request: pytest.FixtureRequest
) -> None:
    """`make golden` writes them again; review the difference like code."""
    rendered = {file.path: file.data for file in output.render(make_plan(target=target)).files}
    for path in GOLDEN_FILES[target]:
        golden = GOLDEN / target / path
        if request.config.getoption("--golden"):
            golden.parent.mkdir(parents=True, exist_ok=True)
            golden.write_bytes(rendered[path])
        assert rendered[path].decode() == golden.read_text("utf-8")


@pytest.mark.parametrize("target", LINUX)
def test_the_same_plan_gives_the_same_bytes_within_ec2s_limit(
    target: str, make_plan: Callable[..., Plan]
) -> None:
    first, second = (output.render(make_plan(target=target)).files for _ in range(2))
    assert first == second
    packed = next(file.data for file in first if file.path == "user-data")
    assert len(packed) <= 16384
    assert gzip.decompress(packed) == next(file.data for file in first if file.path == "user-data.yaml")


def test_the_machine_puts_the_hashes_back_or_refuses_the_index(
    tmp_path: Path, make_plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    import environment

    made = make_plan()
    short = {item.path: item.data for item in linux.short(files.build(made).files)}
    lock = tmp_path / "requirements.txt"
    listed = made.lock.requirements().replace(" --hash", f" --hash=sha256:{'0' * 64} --hash")

    def index(*argv: str) -> None:
        (tmp_path / "listed.txt").write_text(listed)

    def expand() -> str:
        lock.write_bytes(short["requirements.txt"])
        (tmp_path / "hashes").write_bytes(short["hashes"])
        for _ in range(2):  # a power cut may end the program before it removes the hashes
            environment.expand(lock, "uv", [], {})
        assert [path.name for path in tmp_path.iterdir()] == ["requirements.txt"]
        return lock.read_text()

    monkeypatch.setattr(environment, "run", index)
    assert expand() == made.lock.requirements()
    digest = made.lock.lines[0].split(":")[1]
    # The same first bytes, as an attacker may find them, and none of them.
    for other, says in (
        (digest[:20] + "0" * 44, "SHA-256 mismatch"),
        ("1" * 64, made.lock.lines[0].split()[0]),
    ):
        listed = made.lock.requirements().replace(digest, other)
        with pytest.raises(SystemExit, match=says):
            expand()
        assert "--hash" not in lock.read_text()


def test_the_seed_is_a_volume_labelled_cidata_with_both_files(make_plan: Callable[..., Plan]) -> None:
    rendered = {file.path: file.data for file in output.render(make_plan()).files}
    volume = pycdlib.PyCdlib()
    volume.open_fp(io.BytesIO(rendered["seed.iso"]))
    assert volume.pvd.volume_identifier.decode().strip() == seed.VOLUME
    for name in ("user-data", "meta-data"):
        content = io.BytesIO()
        volume.get_file_from_iso_fp(content, rr_path=f"/{name}")
        assert content.getvalue() == rendered[name]
    volume.close()


def test_user_data_and_packers_archive_have_the_same_provisioning_files(
    make_plan: Callable[..., Plan],
) -> None:
    rendered = {file.path: file.data for file in output.render(make_plan()).files}
    by_user_data = delivered(rendered["user-data.yaml"])
    with tarfile.open(fileobj=io.BytesIO(rendered["packer/guest.tar.gz"])) as tar:
        by_packer = {file.name: tar.extractfile(file).read() for file in tar}  # type: ignore[union-attr]
    digest = yaml.safe_load(rendered["user-data.yaml"])["bootcmd"][0][3]
    assert by_packer.pop("digest").decode().strip() == digest
    # A bake upgrades by default, a first boot does not.
    assert b"dist-upgrade" in by_packer.pop("upgrade.sh")
    assert by_user_data == carried(by_packer)
    programs = {"setup.py", "certificate.py", "identity.py", "serve.py"}
    assert programs | {"config.json", "requirements.txt"} <= set(by_packer)


@given(st.text("aé\n💣", max_size=60), st.integers(4, 9))
@example("", 4)
@example("💣" * 9, 5)
def test_a_large_file_is_carried_in_pieces(text: str, limit: int) -> None:
    """One argument of a program may have 131,072 bytes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linux, "ARGUMENT_LIMIT", limit)
        found = list(linux.pieces(text.encode()))
    assert "".join(found) == text and found
    assert all(len(piece.encode()) <= limit for piece in found)


def test_too_large_user_data_names_the_cloud_and_the_largest_part(
    tmp_path: Path, make_plan: Callable[..., Plan]
) -> None:
    import random

    noise = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=8000))
    (tmp_path / "big.ipynb").write_text(json.dumps({"nbformat": 4, "cells": [noise]}))
    large = make_plan('[notebook]\npreload = ["big.ipynb"]')
    with pytest.raises(
        SpecError, match=r"the limit of aws is 16,384; the largest part is notebooks/big\.ipynb"
    ):
        output.render(large)
    assert output.render(large, clouds=("azure", "gcp")).files


def test_comments_are_removed_and_code_is_kept() -> None:
    root = paths.data_folder("cloud-init")
    for path in root.glob("*/*.py"):
        text = path.read_text()
        short = files.without_comments(text, python=True)
        kept = ast.parse(text)
        for node in ast.walk(kept):
            body = getattr(node, "body", None)
            if (
                isinstance(body, list)
                and isinstance(body[0], ast.Expr)
                and isinstance(body[0].value, ast.Constant)
            ):
                body.pop(0)
        assert ast.dump(ast.parse(short)) == ast.dump(kept), path
        assert '"""' not in short
    text = 'if y:\n    x = """\n# not a comment\n    """\n    # a comment\n'
    assert files.without_comments(text, python=True) == 'if y:\n x="""\n# not a comment\n    """\n'
    assert files.without_comments("x = '#'  # a comment\n", python=True) == "x='#'\n"


def test_no_secret_is_rendered(tmp_path: Path, make_plan: Callable[..., Plan]) -> None:
    import certificate

    key, chain = certificate.make(["site.example"], NOW)
    (tmp_path / "site.pem").write_bytes(chain)
    (tmp_path / "site.key").write_bytes(key)
    with_key = make_plan('[certificate]\ncertificate = "site.pem"\nkey = "site.key"')
    rendered = output.render(with_key, clouds=("azure", "gcp", "openstack")).files
    everything = b"".join(file.data for file in rendered)
    readable = next(file.data for file in rendered if file.path == "user-data.yaml")
    assert chain.splitlines()[1] in readable
    assert b"PRIVATE KEY" not in everything and key.splitlines()[1] not in everything
    (tmp_path / "site.pem").write_bytes(chain + key)
    with pytest.raises(SpecError, match="contains a private key"):
        make_plan('[certificate]\ncertificate = "site.pem"\nkey = "site.key"')
    (tmp_path / "site.pem").write_bytes(certificate.make(["a"], NOW)[1])
    with pytest.raises(SpecError, match="does not match"):
        make_plan('[certificate]\ncertificate = "site.pem"\nkey = "site.key"')


def test_a_unit_runs_when_set_up_is_complete_or_is_set_up() -> None:
    """After a power loss units may be enabled before it: set-up would remove what they use."""
    for unit in (paths.data_folder("cloud-init") / "linux/units").glob("*.service"):
        unless = "!" if unit.name == "notebake-setup.service" else ""
        assert f"\nConditionPathExists={unless}/opt/notebake/guest/complete\n" in unit.read_text()


HOSTILE = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=60),
    st.sampled_from(
        ["'", '"', "\\", "$(reboot)", "`id`", "${var.x}", "{{ user }}", "[[ user ]]", "[% raw %]",
         "!!python/object:os", "a: b", "- x", "# c", "&a", "*a", "|", "> x", "%t", "\n", "\r\n",
         "a\nExecStart=/bin/sh", "\t", "\x7f", "\x85", "\u2028", "\ufeff", "é", "💣", "null", "true", "1e3",
         "'; rm -rf / #", "EOF", "%(x)s", "a\\\nb", "=x", "~"]
    ),
)  # fmt: skip


@given(HOSTILE)
@example("x\n\n")
@example(" x\n")
@example("\tx\n y\n")
def test_any_string_is_data_in_yaml(text: str) -> None:
    for indent in (0, 2, 4):
        document = f"a:\n- {templates.to_yaml(text, indent + 2)}\n- after\n"
        assert yaml.safe_load(document) == {"a": [text, "after"]}
    assert yaml.safe_load(f"k: {templates.to_json({text: [text, {'x': text}]})}") == {
        "k": {text: [text, {"x": text}]}
    }
    comment = templates.to_comment(text)
    assert yaml.safe_load(f"# {comment}\nk: 1\n") == {"k": 1}


@given(folder=HOSTILE, endpoint=HOSTILE, notebook=HOSTILE)
def test_hostile_fields_come_out_as_data(folder: str, endpoint: str, notebook: str) -> None:
    """Fields are only in YAML and in JSON, in no unit and no script."""
    try:
        hostile = spec.Spec.model_validate({"notebook": {"folder": folder}, "endpoint": {"name": endpoint}})
    except ValueError:
        return
    base = plan.make(spec.Spec(), targets.get("debian-13"), Path("/nonexistent"), now=NOW)
    content = json.dumps({"cells": [notebook]}, ensure_ascii=False)
    hostile_plan = Plan(**{**vars(base), "spec": hostile, "notebooks": (("x.ipynb", content.encode()),)})
    clean = {file.path: file.data for file in files.build(base).files}
    items = {file.path: file.data for file in files.build(hostile_plan).files}
    config = json.loads(items["config.json"])
    assert (config["folder"], config["endpoint"]["name"]) == (folder, endpoint)
    for path, data in clean.items():
        if path != "config.json":
            assert items[path] == data, path
    document = yaml.safe_load(user_data(hostile_plan).clouds["gcp"])
    command = document["bootcmd"][0]
    assert set(document) == {"ssh_genkeytypes", "user", "bootcmd"}
    assert delivered(yaml.safe_dump(document).encode()) == carried(items)
    assert command[2] == yaml.safe_load(user_data(base).clouds["gcp"])["bootcmd"][0][2]
    assert json.loads(linux.packer_variables(hostile_plan)) == json.loads(linux.packer_variables(base))


def test_the_public_port_leads_to_the_notebook(make_plan: Callable[..., Plan]) -> None:
    """In a cloud nothing else does. The unit is not there when both are the same port."""

    def unit(text: str) -> bytes | None:
        found = {item.path: item.data for item in files.build(make_plan(text)).files}
        return found.get("units/notebake-endpoint.service")

    redirect = b"tcp dport 8443 redirect to :8888;"
    assert redirect in (unit("[notebook]\nport = 8888\n[endpoint]\npublic_port = 8443\n") or b"")
    assert unit("[endpoint]\npublic_port = 9999\n") is None


def test_a_name_is_added_to_user_data_as_text_or_gzipped() -> None:
    text = b"#cloud-config\nuser: {name: a}\n"
    named = {"user": {"name": "a"}, "hostname": "one"}
    assert yaml.safe_load(render_user_data.with_hostname(text, "one")) == named
    assert (
        yaml.safe_load(gzip.decompress(render_user_data.with_hostname(gzip.compress(text), "one"))) == named
    )
