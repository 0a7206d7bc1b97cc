"""A catalog signed by a CI service's identity: sigstore's real client, against a stand-in of its services."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import catalogs
from tests.conftest import Run
from tests.integration.sigstore_services import IDENTITY, ISSUER, Services, running

from notebake.catalog.keyless import Identity
from notebake.errors import RecordError


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Services]:
    """The environment of a GitHub job that may sign."""
    settings = {
        "NOTEBAKE_IDENTITY": IDENTITY, "NOTEBAKE_ISSUER": ISSUER,
        "NOTEBAKE_TRUST_CONFIG": str(tmp_path / "trust.json"), "NOTEBAKE_CATALOG": str(tmp_path / "catalog"),
    }  # fmt: skip
    with running() as stand_in:
        (tmp_path / "trust.json").write_text(stand_in.trust_config())
        for name, value in (stand_in.environment() | settings).items():
            monkeypatch.setenv(name, value)
        yield stand_in


@pytest.fixture
def image(tmp_path: Path) -> Path:
    image = catalogs.write(tmp_path / "baked", 1)
    (tmp_path / "probe.json").write_text(catalogs.probe(image).model_dump_json())
    return image


def add(run: Run, image: Path, *more: str) -> tuple[int, str, str]:
    return run("catalog", "add", str(image), "--probe", str(image.parents[2] / "probe.json"), *more)


def test_an_image_is_added_promoted_and_verified_without_a_key(
    services: Services, run: Run, image: Path, tmp_path: Path
) -> None:
    assert add(run, image)[0] == 0
    assert run("promote", "debian-13@candidate")[0] == 0
    assert "1 versions, all match their signatures" in run("catalog", "verify")[1]
    assert "stable" in run("catalog", "list")[1]
    assert run("report")[::2] == (0, "") and "Signatures verified" in (tmp_path / "catalog.html").read_text()

    code, _, said = run("catalog", "verify", "--identity", IDENTITY.replace("/me/", "/you/"))
    assert code == 7 and "head.dsse.json: not signed by https://github.com/you/" in said
    code, _, said = run("catalog", "verify", "--issuer", "https://gitlab.com")
    assert code == 7 and "not signed by" in said

    (bundle,) = tmp_path.glob("catalog/images/debian-13/*/provenance.dsse.json")
    # Other sigstore clients can read it.
    assert json.loads(bundle.read_text())["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    assert "-----BEGIN" not in bundle.read_text(), "no key is stored"


@pytest.mark.parametrize("part", ["payload", "sig", "signedEntryTimestamp", "rawBytes", "envelope"])
def test_a_changed_part_of_the_bundle_is_found(
    part: str, services: Services, run: Run, image: Path, tmp_path: Path
) -> None:
    assert add(run, image)[0] == 0
    (bundle,) = tmp_path.glob("catalog/images/debian-13/*/provenance.dsse.json")
    data = bundle.read_bytes()
    verifier = Identity(identity=IDENTITY, issuer=ISSUER, trust=tmp_path / "trust.json")
    assert b"Statement" in verifier.verify(data, source="x")
    text = data.decode()
    at = text.index(f'"{part}"') + len(part) + 2
    at = text.index('"', at) + 40
    changed = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
    with pytest.raises(RecordError, match="x: not signed by"):
        verifier.verify(changed.encode(), source="x")


@pytest.mark.parametrize(
    ("refuses", "ref", "code", "says"),
    [
        (True, "main", 4, "sigstore: nothing was signed"),
        (False, "release", 7, "the new signature: not signed by"),  # verified by another identity
    ],
    ids=["the log refuses entries", "not the identity of the job"],
)
def test_a_failed_signature_leaves_the_catalog_unchanged(
    refuses: bool, ref: str, code: int, says: str, services: Services, run: Run, image: Path, tmp_path: Path
) -> None:
    services.refuses = refuses
    found, _, said = add(run, image, "--identity", IDENTITY.replace("main", ref))
    assert (found, says in said) == (code, True), said
    assert not [path for path in (tmp_path / "catalog").rglob("*") if path.is_file()]


def test_signing_outside_ci_and_with_wrong_options_is_refused(
    services: Services, run: Run, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, said = run("catalog", "verify", "--public-key", str(tmp_path / "key.pub"))
    assert code == 2 and "--public-key FILE or --identity with --issuer" in said
    assert add(run, image)[0] == 0
    code, _, said = run("catalog", "verify", "--trust-config", str(tmp_path / "probe.json"))
    assert code == 7 and "probe.json: cannot load the trust config" in said
    monkeypatch.delenv("GITHUB_ACTIONS")
    # Another file, because a process keeps one signer for each trust config.
    (tmp_path / "trust.json").rename(tmp_path / "moved.json")
    monkeypatch.setenv("NOTEBAKE_TRUST_CONFIG", str(tmp_path / "moved.json"))
    code, _, said = run("promote", "debian-13@candidate")
    assert code == 2 and "this is not a CI job" in said and "id-token: write" in said
    monkeypatch.delenv("NOTEBAKE_ISSUER")
    code, _, said = run("catalog", "verify")
    assert code == 2 and "--issuer" in said
    monkeypatch.delenv("NOTEBAKE_IDENTITY")
    code, _, said = run("promote", "debian-13@candidate")
    assert code == 2 and "either --key FILE or --identity" in said
