"""The commands for versions: a user's story, JSON output, and errors."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from tests import catalogs
from tests.conftest import Run

from notebake.machines import lifecycle
from notebake.machines.request import Request
from notebake.record import record


def test_add_promote_diff_and_rollback(run: Run, tmp_path: Path) -> None:
    """The story of the tutorial."""
    assert run("catalog", "key", "notebake.key")[0] == 0
    code, out, _ = run("catalog", "trust", "notebake.key.pub")
    assert code == 0 and out.startswith("catalog: no images yet; trusted signers:\nkey SHA256:")
    key = ("--key", "notebake.key")
    for number, expected in ((1, "1.0.0"), (2, "1.0.1")):
        image = catalogs.write(tmp_path / "baked", number)
        (tmp_path / "probe.json").write_text(catalogs.probe(image).model_dump_json())
        code, out, _ = run("catalog", "add", str(image), "--probe", "probe.json", *key)
        assert (code, out) == (0, f"debian-13@{expected}: added\n")
        assert run("promote", "debian-13@candidate", *key)[1] == f"debian-13@stable is {expected}\n"
    assert "the same software" in run("diff", "debian-13@previous", "debian-13@stable")[1]
    assert run("rollback", "debian-13", *key)[1] == "debian-13@stable is 1.0.0 again\n"
    rows = json.loads(run("catalog", "list", "--json")[1])
    assert [(row["version"], row["channels"]) for row in rows] == [
        ("1.0.0", ["stable"]),
        ("1.0.1", ["candidate"]),
    ]
    assert "1.0.1" in run("catalog", "list", "debian-13")[1]
    assert "2 versions" in run("catalog", "verify")[1]
    assert "nothing to remove" in run("catalog", "prune", *key)[2]
    shown = json.loads(run("catalog", "show", "debian-13@1.0.1")[1])
    jsonschema.validate(shown, json.loads(run("schema", "--record")[1]))
    assert shown["made_from"] == "fixture" and shown["probe"]["passed"]
    assert run("report", "debian-13@1.0.1")[0] == 0
    page = (tmp_path / "report.html").read_text()
    assert "Changes since debian-13@1.0.0" in page and "made from a fixture" in page


def test_launch_uses_the_image_of_a_channel(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("catalog", "key", "k")
    run("catalog", "trust", "k.pub")
    image = catalogs.write(tmp_path / "baked", 1)
    (tmp_path / "probe.json").write_text(catalogs.probe(image).model_dump_json())
    run("catalog", "add", str(image), "--probe", "probe.json", "--key", "k")
    run("promote", "debian-13@1.0.0", "--key", "k")
    asked: list[Request] = []

    def start(request: Request, *, steps: object, watch: object) -> None:
        asked.append(request)
        raise KeyboardInterrupt

    monkeypatch.setattr(lifecycle, "launch", start)
    assert run("launch", "--image", "debian-13@stable")[0] == 130
    (request,) = asked
    assert request.disk is not None and request.disk.parent.parent.parent == tmp_path / "catalog/images"
    assert request.sha256 == record.load(image).image.sha256
    request.disk.write_bytes(b"other")
    code, _, err = run("launch", "--image", "debian-13@stable")
    assert code == 7 and "SHA-256 mismatch" in err


def test_plan_lists_changed_inputs(run: Run, tmp_path: Path) -> None:
    run("init", "--no-password")
    plan = json.loads(run("plan", "debian-13", "--json")[1])
    image = catalogs.write(tmp_path, 1)
    known = catalogs.real().model_copy(update={"inputs": {}})
    (tmp_path / "baked").mkdir()
    (tmp_path / "baked/debian-13.json").write_bytes(known.to_json())
    rows = json.loads(run("plan", "debian-13", "--diff", "--json")[1])["changes"]
    assert {row["how"] for row in rows} == {"added"} and plan["content_id"] != known.content_id
    assert "packer/linux.pkr.hcl" in run("plan", "debian-13", "--diff")[1]
    assert image.exists()


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["diff", "a.json", "b.json"], 7, "no record"),
        (["diff", "debian-13@1.0.0", "debian-13@1.0.1"], 2, "trusts nobody"),
        (["diff", "debian-13@1.0.0", "debian-13@1.0.1", "--unsigned"], 2, "not in the catalog"),
        (["catalog", "verify"], 2, "notebake catalog trust"),
        (["catalog", "trust", "none.pub"], 2, "cannot be read"),
        (["catalog", "trust", "k", "--nobody"], 2, "--nobody cannot be used"),
        (["catalog", "prune"], 2, "--key"),
        (["diff", "broken.json", "broken.json"], 7, "not a valid record"),
        (["catalog", "add", "x.qcow2", "--key", "none"], 2, "catalog key"),
        (["catalog", "add", "x.qcow2", "--probe", "broken.json", "--key", "k"], 7,
         "not a valid probe report"),
        (["catalog", "add", "x.qcow2"], 2, "--key"),
        (["catalog", "verify", "--public-key", "k"], 2, "not an Ed25519 public key"),
        (["catalog", "verify", "--public-key", "k.pub", "--catalog", "elsewhere"], 2,
         "no versions to verify"),
        (["catalog", "list", "--catalog", "nonsense://x"], 3, "nonsense"),
        (["promote", "debian-13", "--key", "k"], 2, "TARGET@CHANNEL"),
        (["promote", "debian-13@stable", "--key", "k"], 2, "no such channel"),
        (["rollback", "debian-13", "--key", "k"], 2, "no previous version"),
        (["launch", "--image", "debian-13@stable", "--unsigned"], 2, "no such channel"),
        (["launch", "--image", "debian-13@stable"], 2, "notebake catalog trust KEY --catalog catalog"),
        (["report", "none.qcow2"], 7, "no record"),
        (["plan", "debian-13", "--diff"], 7, "no record"),
    ],
)  # fmt: skip
def test_wrong_input_is_reported(run: Run, tmp_path: Path, args: list[str], code: int, says: str) -> None:
    run("init", "--no-password")
    run("catalog", "key", "k")
    (tmp_path / "broken.json").write_text('{"format": 2}')
    before = {path.name for path in tmp_path.iterdir()}
    actual, _, err = run(*args)
    assert (actual, says in err) == (code, True), err
    assert {path.name for path in tmp_path.iterdir()} == before
